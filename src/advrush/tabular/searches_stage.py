"""`benchmark --searches`: what each method finds, looked up in a table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from advrush import parallel
from advrush.config import check
from advrush.progress import Display
from advrush.run import Run
from advrush.searching import derive, search
from advrush.searching.seeds import seeds_of
from advrush.stage import stage
from advrush.tabular.config import BenchmarkConfig
from advrush.tabular.contenders import Contender, contenders, with_seed
from advrush.tabular.network_size import parameters_of_rows
from advrush.tabular.rank_correlation import rank_correlations
from advrush.tabular.row_log import RowLog
from advrush.tabular.supernet_scores import SCORES, SupernetScores, oriented, supernet_of
from advrush.tabular.table import Row, Table, standing

STAGE = "benchmark"


def benchmark(
    table: Table,
    config: BenchmarkConfig,
    *,
    data_dir: Path | str | None = None,
    runs_dir: Path | str = "runs",
    device: str = "auto",
    display: bool = True,
) -> Run:
    """Let every method find an architecture with every seed and look each up; return the finished run.

    Each search is a run of its own beside this one: it resumes, and is not repeated where it was done before. In a
    table that holds a sample of its space what a search finds is seldom there; its supernet then scores the rows
    with the weights that they inherit, and the ranks of these scores are compared with the truth.

    `result.json` holds for each method its finds (genotype, row, value, rank, percentile from the top, regret, cost)
    with mean and standard deviation over the seeds; `values` holds the column, for the picture.

    Raises ConfigError for a method that is none, DataError for a measure that the table lacks.
    """
    table.check_measure(config.measure)
    base = replace(config.search, space=table.space_name)
    methods = contenders(config.searches, base)
    processes = parallel.setup(device)
    with stage(processes, runs_dir, STAGE, config, identity={"table": table.checksum}) as (run, todo):
        if todo:
            work = _Work(table, config, run, data_dir, Path(runs_dir), device, display)
            found = [(method, work.finds(method)) for method in methods]
            if processes.is_main:
                run.finish(work.result(found))
    return run


class _Work:
    """The searches and look-ups of one benchmark."""

    def __init__(
        self,
        table: Table,
        config: BenchmarkConfig,
        run: Run,
        data_dir: Path | str | None,
        runs_dir: Path,
        device: str,
        display: bool,
    ) -> None:
        self.table, self.config, self.run = table, config, run
        self.data_dir, self.runs_dir, self.device, self.display = data_dir, runs_dir, device, display
        self.values, self.seeds = table.values(config.measure), seeds_of(config.seeds)
        self.searches: list[tuple[str, int, Run]] = []

    def finds(self, method: Contender) -> list[dict[str, Any]]:
        """Return what a method finds with each seed."""
        if method.search is not None:
            return [self._searched(method, seed) for seed in self.seeds]
        seeds: Sequence[int | None] = [None] if method.is_deterministic else self.seeds
        sizes = (self.config.network.channels, self.config.network.layers)
        rows = [method.choose(self.table, self.config.measure, seed or 0, sizes) for seed in seeds]
        trained = 0 if method.samples < 2 else method.samples
        return [
            self._find(seed, row, row.genotype.to_dict(), {"trainings": trained, "seconds": 0.0})
            for seed, row in zip(seeds, rows, strict=True)
        ]

    def _searched(self, method: Contender, seed: int) -> dict[str, Any]:
        run = search(
            with_seed(method, seed), data_dir=self.data_dir, runs_dir=self.runs_dir, device=self.device,
            display=self.display,
        )  # fmt: skip
        genotype = derive(run)
        self.searches.append((method.label, seed, run))
        cost = {"trainings": 0, "seconds": run.result()["seconds"], "run": f"search/{run.path.name}"}
        return self._find(seed, self.table.find(genotype), genotype.to_dict(), cost) | {"path": self._path(run)}

    def _path(self, run: Run) -> list[float | None]:
        """Return where the genotype after each epoch of a search stands: its percentile from the top."""
        found: list[float | None] = []
        for row in run.metrics():
            hit = self.table.find(self.table.space.parse(json.dumps(row["genotype"])))
            value = None if hit is None else hit.measured.get(self.config.measure)
            found.append(None if value is None else standing(self.values, value).percentile)
        return found

    def _find(self, seed: int | None, row: Row | None, genotype: Any, cost: dict[str, Any]) -> dict[str, Any]:
        value = None if row is None else row.measured.get(self.config.measure)
        place = {} if value is None else asdict(self.table.standing(self.config.measure, value))
        return {"seed": seed, "genotype": genotype, "row": None if row is None else row.index, **place, **cost}

    def result(self, found: Sequence[tuple[Contender, list[dict[str, Any]]]]) -> dict[str, Any]:
        """Return the content of result.json."""
        result: dict[str, Any] = {
            "what": "searches",
            "table": self.table.name,
            "space": self.table.space_name,
            "rows": len(self.values),
            "whole": self.table.is_whole,
            "measure": self.config.measure,
            "best": float(self.values.max()),
            "mean": float(self.values.mean()),
            "methods": [{"label": method.label, **summary(finds), "finds": finds} for method, finds in found],
            "values": self.values.tolist(),
        }
        if not self.table.is_whole and self.searches:
            result["scores"] = self._scores()
        return result

    def _scores(self) -> list[dict[str, Any]]:
        """Return how each supernet's own scores of the rows rank with the truth."""
        rows, measure = self._sample(), self.config.measure
        truth = np.array([row.measured[measure] for row in rows])
        counts = np.array(parameters_of_rows(rows, self.config.network.channels, self.config.network.layers), float)
        log, found = RowLog(self.run), []
        for label, seed, run in self.searches:
            subject = f"{label} seed {seed}"
            self._measure(log, subject, run, rows)
            values = log.values(subject, [row.index for row in rows])
            scores = {name: np.array(oriented(values, name)) for name in SCORES} | {"parameters": counts}
            ranks = rank_correlations(scores, truth, given="parameters", reference="parameters")
            found.append({"label": label, "seed": seed, "rows": len(rows), "scores": ranks})
        return found

    def _sample(self) -> list[Row]:
        rows, count = self.table.with_measure(self.config.measure), self.config.scores.rows
        check(len(rows) >= 3, "measure", self.config.measure, "a column with at least 3 values")
        if count is None or count >= len(rows):
            return rows
        return [rows[i] for i in sorted(np.random.default_rng(0).choice(len(rows), count, replace=False))]

    def _measure(self, log: RowLog, subject: str, run: Run, rows: Sequence[Row]) -> None:
        """Measure the rows that have not been measured with the supernet of a search."""
        missing = set(log.missing(subject, [row.index for row in rows]))
        if not missing:
            return
        dataset = self.config.search.data.load(self.data_dir)
        supernet, config = supernet_of(run, dataset, parallel.setup(self.device).device)
        scores = SupernetScores(supernet, dataset, self.config.scores, config.curvature.h)
        left = [row for row in rows if row.index in missing]
        with Display(f"scores of {subject}", show=self.display) as screen:
            for row in screen.steps(left, total=len(left)):
                log.add(subject, row.index, scores.of(row.genotype))


def summary(finds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return mean and standard deviation over the seeds of what the finds say; `missing` were not in the table."""
    known = [find for find in finds if "value" in find]
    result: dict[str, Any] = {"missing": len(finds) - len(known)}
    for name in ("value", "rank", "percentile", "regret"):
        values = [float(find[name]) for find in known]
        mean = float(np.mean(values)) if values else None
        std = float(np.std(values, ddof=1)) if len(values) > 1 else None
        result[name] = {"mean": mean, "std": std}
    return result
