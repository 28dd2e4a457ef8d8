"""A table of the paper as a value: lines of text and marks for each architecture, tests, agreement, notes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from advrush.config import to_dict
from advrush.paper.artifacts import Artifact, Column
from advrush.paper.cells import Cell
from advrush.paper.statistics import McNemar

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
