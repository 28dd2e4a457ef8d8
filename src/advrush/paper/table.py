"""A table of the paper as a value: lines of text and marks for each architecture, tests, agreement, notes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from advrush.config import to_dict
from advrush.paper.artifacts import Artifact, Column
from advrush.paper.cells import Cell
from advrush.paper.statistics import McNemar, Spread, spread

Mark = Literal["", "best", "second"]


@dataclass(frozen=True)
class Line:
    """One line of an architecture: who measured it, and a text with its mark for each column."""

    who: str
    texts: tuple[str, ...]
    marks: tuple[Mark, ...]


@dataclass(frozen=True)
class Block:
    """The lines of one architecture; hours of its training where there is one."""

    label: str
    lines: tuple[Line, ...]
    hours: float | None


@dataclass(frozen=True)
class Comparison:
    """McNemar's test of two architectures in one column, one seed."""

    column: str
    first: str
    second: str
    seed: int
    test: McNemar


@dataclass(frozen=True)
class OverSeeds:
    """How far the first architecture is ahead of the second over trainings of several seeds, in percent points."""

    column: str
    first: str
    second: str
    seeds: int
    difference: Spread

    @property
    def told_apart(self) -> bool:
        """Whether the 95% interval of the mean difference leaves out 0."""
        assert self.difference.interval is not None, "there are several seeds"
        low, high = self.difference.interval
        return low > 0 or high < 0


@dataclass(frozen=True)
class Table:
    """A table of the paper with the measured beside the printed."""

    artifact: Artifact
    columns: tuple[Column, ...]
    blocks: tuple[Block, ...]
    cells: tuple[Cell, ...]
    comparisons: tuple[Comparison, ...] = ()
    agreement: tuple[tuple[str, float, int], ...] = ()
    """Column, Spearman's correlation of printed and measured over the rows that have both, and their number."""
    notes: tuple[str, ...] = ()

    @property
    def over_seeds(self) -> list[OverSeeds]:
        """The comparisons of each pair that has three seeds or more.

        McNemar's test tells two networks apart on images; whether architectures differ is a question to their seeds.
        """
        pairs: dict[tuple[str, str, str], list[float]] = {}
        for each in self.comparisons:
            pairs.setdefault((each.column, each.first, each.second), []).append(each.test.difference)
        return [OverSeeds(*pair, len(found), spread(found)) for pair, found in pairs.items() if len(found) >= 3]

    @property
    def there(self) -> int:
        """Numbers that were measured."""
        return sum(each.there for each in self.cells)

    @property
    def wanted(self) -> int:
        """Numbers that the finished table has."""
        return sum(each.wanted for each in self.cells)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "artifact": self.artifact.key,
            "title": self.artifact.title,
            "cells": [_cell_dict(each) for each in self.cells],
            "training_hours": {block.label: block.hours for block in self.blocks if block.hours is not None},
            "comparisons": [
                {"column": c.column, "first": c.first, "second": c.second, "seed": c.seed, **to_dict(c.test)}
                for c in self.comparisons
            ],
            "over_seeds": [to_dict(each) for each in self.over_seeds],
            "rank_agreement": [{"column": name, "spearman": rho, "rows": n} for name, rho, n in self.agreement],
            "notes": list(self.notes),
        }


def _cell_dict(each: Cell) -> dict[str, Any]:
    said = [{"value": one.value, "source": one.source, "note": one.note} for one in each.others]
    return {
        "row": each.row.key,
        "column": each.column.key,
        "paper": None if each.printed is None else each.printed.value,
        "note": "" if each.printed is None else each.printed.note,
        "others": said,
        "ours": {name: one.to_dict() for name, one in each.ours.items()},
        "difference": each.difference,
    }
