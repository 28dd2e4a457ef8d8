"""Build the tables of the paper: for each architecture what is printed, reported by others, and measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from advrush.analysis.intervals import spearman
from advrush.paper.artifacts import Artifact, Column, Row
from advrush.paper.cells import Cell, cell, evaluation_of, measured_over, training_hours
from advrush.paper.execute import Store
from advrush.paper.plan import Plan
from advrush.paper.statistics import McNemar, mcnemar
from advrush.paper.table import Block, Comparison, Line, Mark, Table
from advrush.published import others, printed

AWAY = "difference"
"""The line of ours less the printed."""


def build_table(plan: Plan, store: Store, artifact: Artifact) -> Table:
    """Return a table of kind `table`, `scatter` or `transfer` with what is there."""
    if artifact.kind == "transfer":
        return _transfer(plan, store, artifact)
    grid = [[cell(plan, store, artifact, row, column) for column in artifact.columns] for row in artifact.rows]
    blocks = _blocks(artifact.rows, artifact.columns, grid, [training_hours(plan, store, row) for row in artifact.rows])
    flat = tuple(each for row in grid for each in row)
    return Table(
        artifact, artifact.columns, blocks, flat, tuple(_comparisons(plan, store, artifact)),
        tuple(_agreement(artifact.columns, grid)), (*_left_out(plan, artifact, flat), *_notes(flat)),
    )  # fmt: skip


def _blocks(
    rows: Sequence[Row], columns: Sequence[Column], grid: Sequence[Sequence[Cell]], hours: Sequence[float | None]
) -> tuple[Block, ...]:
    whos = [_lines(cells) for cells in grid]
    everyone = {who for one in whos for who in one}
    marks = {who: _marks(columns, [None if who == AWAY else one.get(who) for one in whos]) for who in everyone}
    blocks = []
    for i, row in enumerate(rows):
        lines = tuple(
            Line(
                who,
                tuple(number_text(c, v, sign=who == AWAY) for c, v in zip(columns, values, strict=True)),
                marks[who][i],
            )
            for who, values in whos[i].items()
        )
        blocks.append(Block(row.label if row.dataset == "cifar10" else f"{row.label}, {row.dataset}", lines, hours[i]))
    return tuple(blocks)


Values = list[tuple[float, float | None] | None]


def _lines(cells: Sequence[Cell]) -> dict[str, Values]:
    """Return value and deviation by column, for each who: paper, sources, ours by checkpoint, difference."""
    found: dict[str, Values] = {}

    def put(who: str, place: int, value: float, sd: float | None = None) -> None:
        found.setdefault(who, [None] * len(cells))[place] = (value, sd)

    for place, each in enumerate(cells):
        if each.printed is not None:
            put("paper", place, each.printed.value)
    for place, each in enumerate(cells):
        for other in each.others:
            put(other.source, place, other.value)
    names = list(dict.fromkeys(name for each in cells for name in each.ours if name not in ("", "last")))
    names += ["last"] if any("last" in each.ours and len(each.ours) > 1 for each in cells) else []
    for number, name in enumerate(names or [""]):
        for place, each in enumerate(cells):
            alone = len(each.ours) == 1 and number == 0
            ours = each.ours.get(name) or (each.first if alone else None)
            if ours is not None:
                put(f"ours, {name}" if name else "ours", place, ours.mean, ours.sd)
    for place, each in enumerate(cells):
        if each.difference is not None:
            put(AWAY, place, each.difference)
    return found


def number_text(column: Column, value: tuple[float, float | None] | None, *, sign: bool = False) -> str:
    """Return a mean with its deviation as a table shows it, in as many digits as the column deserves."""
    if value is None:
        return ""
    digits = 1 if column.measure == "parameters" or column.measure.startswith("width") else 2
    digits = 0 if column.measure.startswith(("count", "depth")) and value[0] == round(value[0]) else digits
    digits = 2 if column.measure == "parameters" and abs(value[0]) < 1 else digits
    mean = f"{value[0]:{'+' if sign else ''}.{digits}f}"
    return mean if value[1] is None or value[1] == 0 else f"{mean} ± {value[1]:.2f}"


def _marks(columns: Sequence[Column], lines: Sequence[Values | None]) -> list[tuple[Mark, ...]]:
    """Return the best and the second best number of each column of accuracies, over the architectures."""
    marks: list[list[Mark]] = [[""] * len(columns) for _ in lines]
    for place, column in enumerate(columns):
        if not column.is_accuracy:
            continue
        values = [None if line is None or line[place] is None else round(line[place][0], 2) for line in lines]  # type: ignore[index]
        ranked = sorted({value for value in values if value is not None}, reverse=True)
        if sum(value is not None for value in values) < 2:
            continue
        for row, value in enumerate(values):
            marks[row][place] = "best" if value == ranked[0] else "second" if value in ranked[1:2] else ""
    return [tuple(row) for row in marks]


def _comparisons(plan: Plan, store: Store, artifact: Artifact) -> Iterator[Comparison]:
    """Compare the row `advrush` (or the first search) with each other row, in the strongest attack's column."""
    accuracies = [
        each for each in artifact.columns if each.recipe == "adversarial" and not each.measure.startswith("hrs")
    ]
    strongest = [each for each in accuracies if each.measure in ("autoattack", "pgd20")][-2:]
    for column in strongest:
        for dataset in dict.fromkeys(row.dataset for row in artifact.rows):
            rows = [row for row in artifact.rows if row.dataset == dataset]
            first = next((row for row in rows if row.arch == "advrush"), rows[0])
            for seed in plan.scale.seeds:
                for row in rows:
                    if row is not first and (found := _compare(plan, store, first, row, column, seed)):
                        yield Comparison(column.key, first.key, row.key, seed, found)


def _compare(plan: Plan, store: Store, first: Row, second: Row, column: Column, seed: int) -> McNemar | None:
    flags = []
    for row in (first, second):
        run = store.finished(evaluation_of(plan, row, column, seed))
        if run is None:
            return None
        flags.append(run.load_tensors("flags.safetensors")[column.measure].numpy().astype(bool))
    return mcnemar(flags[0], flags[1])


def _agreement(columns: Sequence[Column], grid: Sequence[Sequence[Cell]]) -> Iterator[tuple[str, float, int]]:
    for place, column in enumerate(columns):
        if not column.is_accuracy:
            continue
        both = [
            (row[place].printed.value, row[place].first.mean)  # type: ignore[union-attr]
            for row in grid
            if row[place].printed is not None and row[place].first is not None
        ]
        if len(both) >= 3:
            ranks = spearman(*(np.asarray(each, dtype=float) for each in zip(*both, strict=True)))
            if ranks == ranks:  # nan where all are equal
                yield column.key, ranks, len(both)


def _notes(cells: Sequence[Cell]) -> Iterator[str]:
    """Yield each remark on published numbers once, with the numbers it is about."""
    about: dict[tuple[str, str, str], list[str]] = {}
    for each in cells:
        for one in (each.printed, *each.others):
            if one is not None and one.note:
                place = (each.row.label, one.source, one.note)
                about.setdefault(place, []).append(f"{each.column.label} {one.value:g}")
    for (row, source, note), numbers in about.items():
        yield f"{row}, {', '.join(numbers)} ({source}): {note}."
    if any(each.column.recipe == "standard" and each.ours for each in cells):
        yield "Standard trainings are measured at their last checkpoint."


def _left_out(plan: Plan, artifact: Artifact, cells: Sequence[Cell]) -> Iterator[str]:
    """Yield a sentence on the rows that were not run and of which nothing is there from another time."""
    there = {each.row.key for each in cells if each.ours and each.column.is_accuracy}
    absent = [row.label for row in artifact.rows if not plan.runs(row.key) and row.key not in there]
    if absent:
        yield f"Not run, since `--rows` left it out: {', '.join(dict.fromkeys(absent))}."


def _transfer(plan: Plan, store: Store, artifact: Artifact) -> Table:
    """Return the source x target matrix, each target a column."""
    columns = tuple(Column(row.key, row.label, "transfer", "target", "adversarial") for row in artifact.rows)
    rows, results = _matrices(plan, store, artifact)
    place = {row.key: number for number, row in enumerate(rows)}

    def values(source: str, target: str) -> list[float]:
        if source not in place or target not in place:
            return []
        return [100 * float(one["matrix"][place[source]][place[target]]) for *_, one in results]

    grid = [
        [_matrix_cell(plan, artifact, row, column, values(row.key, column.key), results) for column in columns]
        for row in artifact.rows
    ]
    flat = tuple(each for row in grid for each in row)
    # in a matrix the lowest accuracies off the diagonal would be the strongest attacks: no best is marked
    unmarked = [replace(column, recipe=None) for column in columns]
    hours = [training_hours(plan, store, row) for row in artifact.rows]
    blocks = _blocks(artifact.rows, unmarked, grid, hours)
    return Table(artifact, columns, blocks, flat, notes=tuple(_left_out(plan, artifact, flat)))


def _matrices(plan: Plan, store: Store, artifact: Artifact) -> tuple[Sequence[Row], list[tuple[int, str, Any]]]:
    """Return the rows that were measured, all or else those that are run, and seed, place and result of each run."""
    reachable = [row for row in artifact.rows if row.dataset in plan.scale.images]
    for rows in (reachable, [row for row in reachable if plan.runs(row.key)]):
        found = [(seed, store.finished(plan.transfer(artifact, rows, seed))) for seed in plan.scale.seeds]
        if results := [(seed, store.place(run), run.result()) for seed, run in found if run is not None]:
            return rows, results
    return [], []


def _matrix_cell(
    plan: Plan,
    artifact: Artifact,
    row: Row,
    column: Column,
    values: Sequence[float],
    results: Sequence[tuple[int, str, Mapping[str, Any]]],
) -> Cell:
    ours: Mapping[str, Any] = {}
    if values:
        seeds, places, told = zip(*results, strict=True)
        ours = {plan.scale.checkpoints[0]: measured_over(values, seeds, int(told[0]["examples"]), places)}
    return Cell(
        row, column, printed(artifact.key, row.key, column.key), others(artifact.key, row.key, column.key), ours,
        len(plan.scale.seeds), len(values),
    )  # fmt: skip
