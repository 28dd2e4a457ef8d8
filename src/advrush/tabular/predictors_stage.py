"""`benchmark --predictors`: whether scores foretell what a table says."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from advrush.config import check, did_you_mean
from advrush.errors import ConfigError
from advrush.parallel import ALONE
from advrush.progress import Display
from advrush.run import Run
from advrush.stage import stage
from advrush.tabular.predictors import PREDICTORS
from advrush.tabular.predictors_config import PredictorsConfig
from advrush.tabular.rank_correlation import rank_correlations
from advrush.tabular.row_log import RowLog
from advrush.tabular.row_networks import RowNetworks
from advrush.tabular.supernet_scores import supernet_of
from advrush.tabular.table import Row, Table

STAGE = "benchmark"
GIVEN = "parameters"


def judge_predictors(
    table: Table,
    config: PredictorsConfig,
    *,
    data_dir: Path | str | None = None,
    runs_dir: Path | str = "runs",
    inherit: Run | None = None,
    jobs: int = 1,
    display: bool = True,
) -> Run:
    """Measure every score of every row's network and compare their ranks with the truth; return the finished run.

    Each row is kept as soon as it is measured, and the same configuration goes on where it was stopped. `jobs`
    processes share the rows, on the CPU. `inherit` is the finished search whose weights the rows inherit.

    `result.json` holds for each score Kendall's and Spearman's correlation with the measure, both also partial given
    the number of parameters, with 95% bootstrap intervals over the rows; `verdict` says whether it beats the best of
    the scores that only count. All are entered in the direction in which they are said to foretell robustness.

    Raises ConfigError for an unknown score, DataError for a measure that the table lacks.
    """
    names = _names(config)
    rows = sample(table, config)
    check(jobs >= 1, "jobs", jobs, "a whole number >= 1")
    check((config.state == "inherited") == (inherit is not None), "inherit", inherit and str(inherit.path),
          "a finished search run exactly where state is inherited")  # fmt: skip
    if inherit is not None:
        config = replace(config, supernet=f"{inherit.stage}/{inherit.path.resolve().name}")
    dataset = config.data.load(data_dir)
    identity = {"table": table.checksum, **dataset.identity}
    with stage(ALONE, runs_dir, STAGE, config, identity=identity) as (run, todo):
        if todo:
            supernet = supernet_of(inherit, dataset, torch.device("cpu"))[0] if inherit is not None else None
            place = None if data_dir is None else Path(data_dir)
            networks = RowNetworks(config, dataset, Path(runs_dir), place, names, supernet)
            log = RowLog(run)
            missing = set(log.missing(config.state, [row.index for row in rows]))
            left = [row for row in rows if row.index in missing]
            with Display(f"predictors, {config.state}", show=display) as screen:
                for index, scores in screen.steps(_measured(networks, left, jobs), total=len(left)):
                    log.add(config.state, index, scores)
            found = log.values(config.state, [row.index for row in rows])
            run.finish(_result(table, config, rows, names, found))
    return run


def sample(table: Table, config: PredictorsConfig) -> list[Row]:
    """Return the rows that are measured, in the table's order."""
    rows = table.with_measure(config.measure)
    check(len(rows) >= 3, "measure", config.measure, "a column with at least 3 values")
    if config.rows is None or config.rows >= len(rows):
        return rows
    chosen = np.random.default_rng(config.seed).choice(len(rows), config.rows, replace=False)
    return [rows[i] for i in sorted(chosen)]


def _names(config: PredictorsConfig) -> tuple[str, ...]:
    chosen = set(PREDICTORS) if "all" in config.predictors else set(config.predictors)
    for name in chosen - set(PREDICTORS):
        raise ConfigError(
            f"predictors: got {name!r}{did_you_mean(name, PREDICTORS)}; expected all or some of {', '.join(PREDICTORS)}"
        )
    return tuple(name for name, each in PREDICTORS.items() if name in chosen or each.counts)


_networks: RowNetworks | None = None
"""What a process of the pool measures with: it is sent once, not with every row."""


def _start(networks: RowNetworks, threads: int) -> None:
    global _networks
    torch.set_num_threads(threads)
    _networks = networks


def _measure(row: Row) -> tuple[int, dict[str, float]]:
    assert _networks is not None, "the pool has started"
    return row.index, _networks.scores(row)


def _measured(networks: RowNetworks, rows: Sequence[Row], jobs: int) -> Iterator[tuple[int, dict[str, float]]]:
    """Yield each row's scores as they come."""
    if jobs == 1 or len(rows) < 2:
        for row in rows:
            yield row.index, networks.scores(row)
        return
    threads = max(1, torch.get_num_threads() // jobs)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context, initializer=_start, initargs=(networks, threads)) as pool:
        waiting = [pool.submit(_measure, row) for row in rows]
        try:
            for done in as_completed(waiting):
                yield done.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _result(
    table: Table, config: PredictorsConfig, rows: Sequence[Row], names: Sequence[str], found: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    truth = np.array([row.measured[config.measure] for row in rows])
    scores = {name: np.array([PREDICTORS[name].sign * values[name] for values in found]) for name in names}
    counting = [name for name in names if PREDICTORS[name].counts]
    plain = rank_correlations({name: scores[name] for name in counting}, truth, resamples=0)
    taus = {name: (plain[name]["kendall"] or {"value": -2.0})["value"] for name in counting}
    best = max(taus, key=lambda name: taus[name])
    ranks = rank_correlations(scores, truth, given=GIVEN, reference=best)
    return {
        "what": "predictors",
        "table": table.name,
        "space": table.space_name,
        "state": config.state,
        "measure": config.measure,
        "rows": len(rows),
        "of": len(table.with_measure(config.measure)),
        "given": GIVEN,
        "reference": best,
        "predictors": [
            {
                "name": name, "about": PREDICTORS[name].about, "sign": PREDICTORS[name].sign,
                "counts": PREDICTORS[name].counts, **ranks[name], "verdict": verdict(name, best, ranks[name]),
            }
            for name in names
        ],
        "truth": truth.tolist(),
        "scores": {name: [values[name] for values in found] for name in names},
    }  # fmt: skip


def verdict(name: str, best: str, ranks: Mapping[str, Mapping[str, float] | None]) -> str:
    """Return in words whether a score's Kendall's tau is above that of the best of those that only count."""
    gain = ranks.get("kendall_gain")
    if name == best:
        return "the best of counting"
    if PREDICTORS[name].counts:
        return "counts"
    if gain is None:
        return "says nothing: it is the same for all rows"
    if gain["low"] > 0:
        return "beats counting"
    return "below counting" if gain["high"] < 0 else "not told apart from counting"
