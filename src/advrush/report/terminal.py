"""Runs on a terminal, and two genotypes side by side."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from advrush.errors import GenotypeError, RunError
from advrush.evaluation.intervals import wilson
from advrush.report.drawing.differences import only_in
from advrush.report.genotypes import HEAD, cell_text, cells_text, is_published, read_genotype
from advrush.report.labels import data_set, duration
from advrush.report.names import model_names
from advrush.report.records import Record
from advrush.report.sections.compose import numbers
from advrush.report.sound import check_sound
from advrush.space import Architecture
from advrush.space.files import path_of, place_of


def facts(target: str) -> dict[str, Any]:
    """Return what `show` prints as plain values: a run's state, configuration, result and genotype; or a genotype."""
    path = place_of(target, is_published)
    if path is None or not path.is_dir():
        return {"genotype": json.loads(read_genotype(target, path).to_json())}
    record = Record.read(path)
    genotype = record.genotype()
    return {
        "run": str(record.path),
        "state": state(record),
        "config": dict(record.config),
        "result": record.result,
        "genotype": None if genotype is None else json.loads(genotype.to_json()),
    }


def compare(targets: Sequence[str], console: Console) -> None:
    """Print two genotypes one after the other, what the other lacks marked with ≠. Raises as `show` does."""
    both = architectures_of(targets)
    names = list(both)
    for name, other in ((names[0], names[1]), (names[1], names[0])):
        cells, against = both[name].cells(), both[other].cells()
        console.print(Text(name, style="bold"))
        for kind, graph in cells.items():
            console.print(Padding(cell_text(kind, graph, only_in(graph, against.get(kind))), (0, 0, 1, 2)))


def architectures_of(targets: Sequence[str]) -> dict[str, Architecture]:
    """Return the genotypes of published names, files, texts, or runs of a search or training, by short names."""
    found: dict[str, Architecture] = {}
    for target in targets:
        path = place_of(target, is_published)
        name = path.resolve().stem if path is not None and path.exists() else target[:40]
        genotype: Architecture | None
        if path is not None and path.is_dir():
            record = Record.read(path)
            genotype = record.genotype()
            arch = str(record.config.get("arch", ""))
            if genotype is None and (is_published(arch) or path_of(arch) is None):
                genotype = read_genotype(arch, None)
            if genotype is None:
                what = f" ({arch})" if arch else ""
                raise GenotypeError(f"{target}: this run has no cells{what}; expected a search or a training of cells")
        else:
            genotype = read_genotype(target, path)
        found[name if name not in found else f"{name} (2)"] = genotype
    return found


def genotype_text(source: Path | str | Architecture) -> RenderableType:
    """Return the cells of a genotype, or of the one that a search run found, as tables.

    A run without a genotype is shown by its main numbers.
    """
    if isinstance(source, Path | str):
        genotype = Record.read(source).genotype()
        return run_text(source) if genotype is None else genotype_text(genotype)
    return cells_text(source)


def run_text(path: Path | str) -> RenderableType:
    """Return a run: what it is, how far it came, its main numbers and its cells."""
    record = Record.read(path)
    check_sound(record)
    facts = Table(show_header=False, **HEAD)
    facts.add_row("run", Text(str(record.path)))
    facts.add_row("state", f"{state(record)}, {duration(record.seconds)}")
    facts.add_row("data", data_set(record))
    if record.stage != "search":
        facts.add_row("network", Text(model_names([record], [record])[record.path]))
    for name, value in numbers(record).items():
        facts.add_row(name, value)
    genotype = record.genotype()
    arch = str(record.config.get("arch", ""))
    if genotype is None and {"{", "("} & set(arch):
        try:
            genotype = read_genotype(arch, None)
        except GenotypeError as error:
            raise RunError(f"{path}: {error}") from None
    return Group(facts, Text(), genotype_text(genotype)) if genotype else facts


def state(record: Record) -> str:
    """Return "done", or how many epochs of an unfinished run are there."""
    if record.result is not None:
        return "done"
    return f"epoch {len(record.rows)} of {record.epochs}" if record.epochs else "unfinished"


def outcome(path: Path, *, found: bool = False) -> str:
    """Return a finished run's main numbers in one line; `found` says that it had finished before."""
    record = Record.read(path)
    check_sound(record)
    parts = [f"{name} {value}" for name, value in numbers(record).items()]
    if record.stage == "train" and record.result:
        parts.append(_held_out(record))
    if record.stage == "evaluate" and record.result:
        threat = record.result["threat_model"]
        parts.append(f"({threat['norm']}, eps {threat['eps']:.4g}, {record.result['examples']} images)")
    return ("finished before, not repeated: " if found else "") + "  ".join(parts)


def _held_out(record: Record) -> str:
    """Return on what the accuracies of a training were measured, with their 95% intervals where that is known."""
    result, attack = record.result or {}, record.config.get("attack", {})
    attacked = f"PGD-{attack.get('val_steps')}, Linf, eps {attack.get('eps', 0):.4g}"
    if (count := result.get("examples_val")) is None:
        return f"(held-out images; {attacked})"
    texts = []
    for name in ("clean", "robust"):
        low, high = wilson(round(result[f"{name}_acc_val"] * count), count)
        texts.append(f"{name} {100 * low:.1f} to {100 * high:.1f}%")
    return f"({count:,} held-out images; {attacked}; 95% intervals: {', '.join(texts)})"
