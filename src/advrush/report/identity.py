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
    if run.stage == "evaluate":
        training = trained_by(run, records)
        label = str((run.result or run.config).get("model") or run.name)
    elif run.stage == "analyze":
        result = run.result or {}
        label = str(result.get("model") or next(iter(result.get("models", ())), run.name))
        training = network_training(label, run, records)
    else:
        training, label = run, run.name
    arch = training.config.get("arch") if training else None
    return _key(arch) if isinstance(arch, str) else architecture_in(label)


def network_styles(runs: Sequence[Record], names: Mapping[Path, str], records: Sequence[Record]) -> dict[str, Style]:
    """Return how each network of a figure is drawn, by its name; colors are those of all figures of the page."""
    return page_styles({names[run.path]: architecture_key(run, records) for run in runs}, records)


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
