"""The sections of a report, composed from records; what a run does not have is left out."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from advrush.report.agreement import Agreement, mean, pairwise
from advrush.report.analysis.sections import analysis_bodies
from advrush.report.benchmark.sections import benchmark_bodies
from advrush.report.downloads import csv_file, svg_file
from advrush.report.drawing.cells import draw_cell
from advrush.report.drawing.heatmap import alpha_heatmap
from advrush.report.drawing.palette import kind_label
from advrush.report.drawing.plot import signed, to_svg
from advrush.report.figures import (
    accuracy_bars,
    architecture_curves,
    attack_label,
    curvature_curves,
    search_curves,
    sweep_curves,
    training_curves,
)
from advrush.report.names import model_names, seed_names
from advrush.report.pictures import amplification, examples
from advrush.report.records import Record
from advrush.report.saving import drawn_cells
from advrush.report.tables import (
    Entry,
    Table,
    accuracies,
    accuracy_table,
    by_threat,
    cost_table,
    percent,
    training_table,
    transfer_table,
    waterfall_tables,
)
from advrush.report.tradeoff import tradeoff

SHOWN = 6
"""Attacked images shown for each model."""

Render = Callable[..., Markup]
"""Renders a template of this package by name with keyword arguments."""


@dataclass(frozen=True)
class Section:
    """A part of a report: an anchor, a heading and a body of HTML."""

    id: str
    title: str
    body: Markup


def compose(records: Sequence[Record], render: Render) -> list[Section]:
    """Return the sections that the runs give rise to, in reading order."""
    stages: dict[str, list[Record]] = {"search": [], "train": [], "evaluate": []}
    for record in records:
        stages.setdefault(record.stage, []).append(record)
    evaluated = [record for record in stages["evaluate"] if record.result]
    sections = []
    if searches := [record for record in stages["search"] if record.rows or record.result]:
        sections.append(Section("search", "Search", search_body(searches, render)))
    if len(found := [record for record in searches if record.genotype()]) > 1:
        sections.append(Section("seeds", "Searches compared", comparison_body(found, render)))
    if trainings := [record for record in stages["train"] if record.rows]:
        sections.append(Section("training", "Training", training_body(trainings, records, render)))
    if evaluated:
        sections.append(Section("robustness", "Robustness", robustness_body(evaluated, records, render)))
    if transfers := [record for record in stages.get("transfer", ()) if record.result]:
        sections.append(Section("transfer", "Transfer", transfer_body(transfers, records, render)))
    if pictured := [record for record in evaluated if (record.path / "examples.safetensors").is_file()]:
        sections.append(Section("examples", "Adversarial examples", examples_body(pictured, records, render)))
    sections += [Section(*found) for found in analysis_bodies(records, render)]
    sections += [Section(*found) for found in benchmark_bodies(records, render)]
    sections.append(Section("runs", "Configurations and environment", runs_body(records, render)))
    return sections


def search_body(searches: Sequence[Record], render: Render) -> Markup:
    """Return cells, curves, heat maps of every search."""
    names = seed_names(searches)
    return render("search.html.j2", searches=[_search(record, names[record.path]) for record in searches])


def _search(record: Record, name: str) -> dict[str, Any]:
    genotype, alphas, rows = record.genotype(), record.alphas(), record.rows
    cells = genotype.cells() if genotype else {}
    space = record.space
    return {
        "name": name,
        "record": record,
        "cells": {kind: draw_cell(cell, title=f"{name}, {kind_label(kind).lower()}") for kind, cell in cells.items()},
        "genotype": json.dumps(genotype.to_dict()) if genotype else None,
        "curves": to_svg(signed(search_curves(rows), record.digest), title=f"{name}: losses and curvature by epoch")
        if rows
        else None,
        "heatmaps": {
            kind: alpha_heatmap(space, alphas[kind], kind=kind, graph=cells.get(kind))
            for kind in space.kinds
            if kind in alphas
        }
        if space and alphas
        else {},
        "frames": _frames(record, [kind for kind in space.kinds if kind in alphas]) if space and alphas else "",
        "evolution": to_svg(
            signed(architecture_curves(rows), record.digest),
            title=f"{name}: entropy of alpha, skip connections by epoch",
        )
        if rows and rows[-1].get("alpha_entropy")
        else None,
        "collapsed": [kind for kind, cell in cells.items() if 2 * _skips(cell.edges) > len(cell.edges)],
    }


def _frames(record: Record, kinds: Sequence[str]) -> str:
    """Return the weights of every epoch in thousandths as JSON, by cell kind; nothing where there is one epoch."""
    by_kind = record.weights_by_epoch()
    if not kinds or len(by_kind[kinds[0]]) < 2:
        return ""
    frames = {kind: [(1000 * each).round().astype(int).ravel().tolist() for each in by_kind[kind]] for kind in kinds}
    return json.dumps(frames, separators=(",", ":"))


def _skips(edges: Sequence[Any]) -> int:
    return sum(edge.primitive == "skip_connect" for edge in edges)


def comparison_body(searches: Sequence[Record], render: Render) -> Markup:
    """Return L_lambda of several searches in one figure, and how far their genotypes agree."""
    names = seed_names(searches)
    measured = {names[r.path]: r.rows for r in searches if any(row.get("curvature") is not None for row in r.rows)}
    curves = to_svg(curvature_curves(measured), title="L_λ of the searches by epoch") if measured else None
    found = {names[record.path]: genotype for record in searches if (genotype := record.genotype())}
    pairs = pairwise(found)
    kinds = list(dict.fromkeys(kind for row in pairs.values() for kind in row))
    averages = {kind: mean(row[kind] for row in pairs.values() if kind in row) for kind in kinds}
    rows = [(Entry("mean of all pairs"), *_entries(averages))] if len(pairs) > 1 else []
    rows += [(Entry(" – ".join(pair)), *_entries(row)) for pair, row in pairs.items() if list(row) == kinds]
    columns = [f"{kind_label(kind)}: {what}" for kind in kinds for what in ("wiring", "edges", "primitives")]
    caption = "Percent of edges that two searches share"
    table = Table(caption, ("searches", *columns), tuple(rows))
    cells = drawn_cells(found) if len(found) == 2 else []
    return render("comparison.html.j2", curves=curves, agreement=table, cells=cells)


def _entries(row: Mapping[str, Agreement]) -> list[Entry]:
    return [Entry(percent(value, 0)) for a in row.values() for value in (a.wiring, a.edges, a.primitives)]


def training_body(trainings: Sequence[Record], records: Sequence[Record], render: Render) -> Markup:
    """Return the trainings' curves in one figure and their table."""
    names = model_names(trainings, records)
    figure = training_curves({names[record.path]: record.rows for record in trainings})
    svg = to_svg(figure, title="Training loss and held-out accuracies by epoch")
    return render("training.html.j2", curves=svg, trainings=training_table(trainings, records))


def robustness_body(evaluations: Sequence[Record], records: Sequence[Record], render: Render) -> Markup:
    """Return accuracies as bars, one figure a threat model, and what the attacks cost."""
    groups = []
    for caption, members in by_threat(evaluations).items():
        names = model_names(members, records)
        bars = accuracy_bars({names[record.path]: accuracies(record.result) for record in members})
        groups.append({"caption": caption, "bars": to_svg(bars, title=f"Accuracies: {caption}")})
    return render(
        "robustness.html.j2", groups=groups, costs=cost_table(evaluations, records),
        scatters=_scatters(evaluations, records), sweeps=_sweeps(evaluations, records),
        waterfalls=waterfall_tables(evaluations, records),
    )  # fmt: skip


def transfer_body(transfers: Sequence[Record], records: Sequence[Record], render: Render) -> Markup:
    """Return the matrices of examples made on one network and tried on another."""
    return render("transfer.html.j2", matrices=[transfer_table(record, records) for record in transfers])


def _scatters(evaluations: Sequence[Record], records: Sequence[Record]) -> list[dict[str, Any]]:
    """Return Figure 1 for each threat model that two or more networks were tried under with the same attack."""
    found = []
    for caption, members in by_threat(evaluations).items():
        names = model_names(members, records)
        rows = {names[record.path]: accuracies(record.result) for record in members}
        attack = next((each for each in ("pgd20", "fgsm") if all(each in row for row in rows.values())), None)
        if attack and len(rows) > 1:
            points = {name: (row["clean"], row[attack]) for name, row in rows.items()}
            title = f"Robust against clean accuracy: {caption}"
            svg = to_svg(tradeoff(points, attack=attack_label(attack)), title=title)
            columns = ("network", *(f"{what} {side}" for what in ("clean", attack) for side in ("acc", "low", "high")))
            numbers = [(name, *(float(v) for triple in pair for v in triple)) for name, pair in points.items()]
            text = f"{title}. Dashed: equal harmonic robustness score; bars are 95% Wilson intervals."
            files = [svg_file("tradeoff", svg), csv_file("tradeoff", columns, numbers)]
            found.append({"svg": svg, "caption": text, "files": files})
    return found


def _sweeps(evaluations: Sequence[Record], records: Sequence[Record]) -> list[dict[str, Any]]:
    """Return a figure for each kind of curve that the evaluations measured, all models in one."""
    names, found = model_names(evaluations, records), []
    for kind, title in (("steps", "Accuracy against PGD's steps"), ("eps", "Accuracy against the radius, PGD-20")):
        curves = {
            names[record.path]: rows
            for record in evaluations
            if (rows := (record.result or {}).get("sweeps", {}).get(kind))
        }
        if curves:
            found.append({"title": title, "figure": to_svg(sweep_curves(curves, kind), title=title)})
    return found


def examples_body(evaluations: Sequence[Record], records: Sequence[Record], render: Render) -> Markup:
    """Return attacked images of every model: clean, adversarial, amplified difference, predictions."""
    names = model_names(evaluations, records)
    models = []
    for record in evaluations:
        tensors, result = record.tensors("examples.safetensors"), record.result or {}
        if tensors:
            attacks = result.get("attacks") or [{"name": "attack", "robust_acc": 0}]
            strongest = min(attacks, key=lambda attack: attack["robust_acc"])["name"]
            shown = examples(tensors, result.get("classes") or ())[:SHOWN]
            models.append((names[record.path], strongest, amplification(tensors), shown))
    return render("examples.html.j2", models=models)


def runs_body(records: Sequence[Record], render: Render) -> Markup:
    """Return configuration and environment of every run, folded."""
    texts = [(record, (record.path / "config.toml").read_text(encoding="utf-8").strip()) for record in records]
    return render("runs.html.j2", runs=texts)


def accuracy_tables(records: Sequence[Record]) -> list[Table]:
    """Return one table of accuracies for each threat model that the runs were evaluated under."""
    groups = by_threat([record for record in records if record.stage == "evaluate"])
    return [accuracy_table(caption, members, records) for caption, members in groups.items()]
