"""The architecture of a run, and how its network is drawn in every figure of a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from advrush.errors import AdvrushError
from advrush.models.build import display_name
from advrush.report.drawing.architectures import Style, architecture_in, styles
from advrush.report.names import network_training, trained_by
from advrush.report.records import Record
from advrush.space import resolve


def architecture_key(run: Record, records: Sequence[Record]) -> str:
    """Return the published name of a run's architecture, else the genotype's text, else what the run names.

    For a search: what it found. For an evaluation or an analysis: what the network that it measured is of.
    """
    if run.stage == "search":
        found = run.genotype()
        return run.label if found is None else _key(found.to_json())
    training, label = _training(run, records)
    arch = training.config.get("arch") if training else None
    return _key(arch) if isinstance(arch, str) else architecture_in(label)


def _training(run: Record, records: Sequence[Record]) -> tuple[Record | None, str]:
    """Return the training of a run's network (None for a search, or where it is not there), and the network's label."""
    if run.stage == "evaluate":
        return trained_by(run, records), str((run.result or run.config).get("model") or run.name)
    if run.stage == "analyze":
        result = run.result or {}
        label = str(result.get("model") or next(iter(result.get("models", ())), run.name))
        return network_training(label, run, records), label
    return (run if run.stage == "train" else None), run.name


def _objective(run: Record, records: Sequence[Record]) -> str:
    training, _ = _training(run, records)
    return str(training.config.get("objective", "")) if training else ""


def network_styles(runs: Sequence[Record], names: Mapping[Path, str], records: Sequence[Record]) -> dict[str, Style]:
    """Return how each network of a figure is drawn, by its name; colors and marks are those of all of the page."""
    drawn = [record for record in records if record.stage in DRAWN]
    found = {_objective(run, records) for run in (*runs, *drawn) if run.stage != "search"}
    objectives = sorted(found, key=lambda objective: (objective == "", objective))  # unknown ones last
    variants = {names[run.path]: _objective(run, records) for run in runs}
    keys = {names[run.path]: architecture_key(run, records) for run in runs}
    return styles(keys, [architecture_key(record, records) for record in drawn], variants, objectives)


def page_styles(architectures: Mapping[str, str], records: Sequence[Record]) -> dict[str, Style]:
    """Return how networks are drawn whose architectures (see `architecture_key`) are given by their labels."""
    return styles(architectures, [architecture_key(record, records) for record in records if record.stage in DRAWN])


DRAWN = ("search", "train", "evaluate", "analyze")
"""Stages whose runs are of one architecture."""


def digests(runs: Sequence[Record]) -> list[str]:
    """Return the digests of the runs that a figure shows."""
    return [run.digest for run in runs]


def _key(arch: str) -> str:
    try:
        name = display_name(arch)
        if name != "genotype":
            return name
        found = resolve(arch)
        return arch if found is None else found.to_json()
    except AdvrushError:
        return arch
