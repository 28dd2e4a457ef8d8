"""The numbers that the paper prints, and those that others measured, each with its source (published.csv)."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

PAPER = "AdvRush (ICCV 2021)"
"""The source of the paper's own tables."""


@dataclass(frozen=True)
class Published:
    """A published number: percent for accuracies and HRS, millions for parameters."""

    value: float
    source: str
    note: str = ""


@cache
def published() -> Mapping[tuple[str, str, str], tuple[Published, ...]]:
    """Return all numbers by (artifact, row, column), the paper's own first."""
    found: dict[tuple[str, str, str], list[Published]] = {}
    text = resources.files("advrush").joinpath("published.csv").read_text(encoding="utf-8")
    for line in csv.DictReader(text.splitlines()):
        place = (line["artifact"], line["row"], line["column"])
        found.setdefault(place, []).append(Published(float(line["value"]), line["source"], line["note"]))
    return {place: tuple(sorted(each, key=lambda one: one.source != PAPER)) for place, each in found.items()}


def printed(artifact: str, row: str, column: str) -> Published | None:
    """Return what the paper's table prints, None where it prints nothing."""
    return next((one for one in published().get((artifact, row, column), ()) if one.source == PAPER), None)


def others(artifact: str, row: str, column: str) -> tuple[Published, ...]:
    """Return what others report of the same cell."""
    return tuple(one for one in published().get((artifact, row, column), ()) if one.source != PAPER)
