"""Cells of the paper's tables: the runs' numbers over seeds, beside the printed ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from advrush.analysis import anatomy
from advrush.analysis.scores import hrs
from advrush.analysis.subjects import find_architecture
from advrush.evaluation import wilson
from advrush.paper.artifacts import Artifact, Column, Row
from advrush.paper.execute import Store
from advrush.paper.jobs import EvaluateJob
from advrush.paper.plan import CASCADE, Plan
from advrush.paper.statistics import spread
from advrush.published import Published, others, printed
from advrush.run import Run
from advrush.searching import derive


@dataclass(frozen=True)
class Measured:
    """A cell's own number: percent for accuracies and HRS, millions for parameters, else as it is."""

    mean: float
    sd: float | None
    interval: tuple[float, float] | None
    """95%: Wilson's over the examples of a single seed, Student's over several seeds."""
    values: tuple[float, ...]
    seeds: tuple[int, ...]
    examples: int | None
    runs: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "mean": self.mean, "sd": self.sd, "interval": self.interval, "values": self.values, "seeds": self.seeds,
            "examples": self.examples, "runs": self.runs,
        }  # fmt: skip


@dataclass(frozen=True)
class Cell:
    """One place of a table: what is printed, what others report, what was measured by checkpoint."""

    row: Row
    column: Column
    printed: Published | None
    others: tuple[Published, ...]
    ours: Mapping[str, Measured] = field(default_factory=dict)
    """By checkpoint, the one that is compared with the paper first; "" where there is no checkpoint."""
    wanted: int = 0
    """Numbers that a finished cell would have: seeds times checkpoints."""
    there: int = 0

    @property
    def first(self) -> Measured | None:
        """The number that is compared with the printed one, None where it was not measured."""
        return next(iter(self.ours.values()), None)

    @property
    def difference(self) -> float | None:
        """Ours less the printed value."""
        ours = self.first
        return None if ours is None or self.printed is None else ours.mean - self.printed.value


Value = tuple[float, tuple[float, float] | None, int | None, str]
"""Value, interval of a single run, examples, run."""


def cell(plan: Plan, store: Store, artifact: Artifact, row: Row, column: Column) -> Cell:
    """Return one cell of a table with what its finished runs say."""
    places: dict[str, list[Value | None]] = {}
    for checkpoint in plan.checkpoints(column) or ("",):
        found = [_value(plan, store, row, column, seed, checkpoint) for seed in plan.scale.seeds]
        fixed = column.recipe is None and row.search is None
        places[checkpoint] = found[:1] if fixed else found
    ours = {name: _measured(values, plan.scale.seeds) for name, values in places.items() if any(values)}
    reachable = row.dataset in plan.scale.images
    return Cell(
        row, column, printed(artifact.key, row.key, column.key), others(artifact.key, row.key, column.key), ours,
        sum(len(values) for values in places.values()) if reachable and _defined(row, column) else 0,
        sum(value is not None for values in places.values() for value in values),
    )  # fmt: skip


def _defined(row: Row, column: Column) -> bool:
    """Return whether the measure exists: networks without cells have no anatomy."""
    if ":" not in column.measure or column.measure.startswith("hrs"):
        return True
    return row.search is not None or (row.arch is not None and find_architecture(row.arch) is not None)


def _measured(values: Sequence[Value | None], seeds: Sequence[int]) -> Measured:
    pairs = [(seed, value) for seed, value in zip(seeds, values, strict=False) if value is not None]
    _, interval, examples, _ = pairs[0][1]
    numbers, places = [value[0] for _, value in pairs], tuple(value[3] for _, value in pairs)
    return measured_over(numbers, [seed for seed, _ in pairs], examples, places, interval)


def measured_over(
    numbers: Sequence[float],
    seeds: Sequence[int],
    examples: int | None,
    runs: tuple[str, ...],
    interval: tuple[float, float] | None = None,
) -> Measured:
    """Return the number of a cell over seeds; `interval` is that of a single run."""
    over = spread(numbers)
    return Measured(
        over.mean,
        over.sd,
        over.interval if len(numbers) > 1 else interval,
        tuple(numbers),
        tuple(seeds),
        examples,
        runs,
    )


def _value(plan: Plan, store: Store, row: Row, column: Column, seed: int, checkpoint: str) -> Value | None:
    if column.recipe is None:
        return _of_architecture(plan, store, row, column, seed)
    job = plan.evaluation(row, column, seed, checkpoint)
    run = store.finished(job)
    return None if run is None else accuracy(run, column.measure, store)


def accuracy(run: Run, measure: str, store: Store) -> Value | None:
    """Return an evaluation's accuracy or HRS in percent, None where it did not measure that."""
    result = run.result()
    place, count = store.place(run), int(result["examples"])
    if measure.startswith("hrs:"):
        robust = _robust(result, measure.removeprefix("hrs:"))
        return None if robust is None else (100 * hrs(result["clean_acc"], robust), None, count, place)
    found = result["clean_acc"] if measure == "clean" else _robust(result, measure)
    if found is None:
        return None
    low, high = wilson(round(found * count), count)
    return 100 * found, (100 * low, 100 * high), count, place


def _robust(result: Mapping[str, Any], attack: str) -> float | None:
    rows = {row["name"]: row for row in result["attacks"]}
    if attack in CASCADE and "autoattack" in rows:
        steps = {step["name"]: step["robust_acc"] for step in rows["autoattack"].get("waterfall", ())}
        return rows["autoattack"]["robust_acc"] if attack == "autoattack" else steps.get(attack)
    return rows[attack]["robust_acc"] if attack in rows else None


def _of_architecture(plan: Plan, store: Store, row: Row, column: Column, seed: int) -> Value | None:
    """Return a number of the architecture itself: parameters of the trained network, or its anatomy."""
    kind, _, name = column.measure.partition(":")
    if kind == "parameters":
        training = plan.training(row, "adversarial", seed)
        run = store.finished(training)
        return None if run is None else (run.result()["parameters"] / 1e6, None, None, store.place(run))
    place = "genotype"
    if row.search is not None:
        run = store.finished(plan.search(row.search, seed))
        if run is None:
            return None
        found, place = derive(run.path), store.place(run)
    else:
        known = find_architecture(row.arch or "")
        if known is None:
            return None
        found = known
    parts = anatomy(found)
    measures: dict[str, Mapping[str, float]] = {"count": parts.counts, "width": parts.width, "depth": parts.depth}
    by_name = measures[kind]
    return (float(by_name[name]), None, None, place) if name in by_name else None


def training_hours(plan: Plan, store: Store, row: Row) -> float | None:
    """Return the mean hours of a row's finished adversarial trainings, None where there is none."""
    hours = []
    for seed in plan.scale.seeds:
        run = store.finished(plan.training(row, "adversarial", seed))
        if run is not None:
            hours.append(float(run.result()["seconds"]) / 3600)
    return sum(hours) / len(hours) if hours else None


def evaluation_of(plan: Plan, row: Row, column: Column, seed: int) -> EvaluateJob | None:
    """Return the evaluation behind a cell at the checkpoint that is compared with the paper."""
    return plan.evaluation(row, column, seed, plan.checkpoints(column)[0])
