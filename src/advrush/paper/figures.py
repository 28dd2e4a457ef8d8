"""The paper's figures, drawn from the runs that are there."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from advrush.analysis.subjects import find_architecture
from advrush.paper.artifacts import Artifact, Row
from advrush.paper.cells import cell
from advrush.paper.execute import Store
from advrush.paper.plan import Plan
from advrush.published import printed
from advrush.report import Record, draw_cell
from advrush.report.drawing.architectures import architecture_colors, architecture_in, styles
from advrush.report.drawing.axes import switch_epoch
from advrush.report.drawing.palette import kind_label
from advrush.report.drawing.plot import legend_above, new_figure, to_svg, xy
from advrush.report.sections.landscape import Range, surface_figure, surface_numbers
from advrush.report.sections.robustness import sweep_curves
from advrush.report.tradeoff import Interval, tradeoff
from advrush.searching import derive


@dataclass(frozen=True)
class Picture:
    """One drawing of a figure: the end of its file's name, what it shows, the SVG with its numbers."""

    name: str
    caption: str
    svg: Any


@dataclass(frozen=True)
class Drawn:
    """A figure of the paper with the drawings that could be made, and how many runs it has of how many."""

    artifact: Artifact
    pictures: tuple[Picture, ...]
    there: int
    wanted: int


def draw(plan: Plan, store: Store, artifact: Artifact) -> Drawn:
    """Draw an artifact of kind `scatter`, `searches`, `landscapes`, `cells` or `steps` from its finished runs."""
    match artifact.kind:
        case "scatter":
            return _scatter(plan, store, artifact)
        case "searches":
            return _searches(plan, store, artifact)
        case "landscapes":
            return _landscapes(plan, store, artifact)
        case "cells":
            return _cells(plan, store, artifact)
        case _:
            return _steps(plan, store, artifact)


def _scatter(plan: Plan, store: Store, artifact: Artifact) -> Drawn:
    ours: dict[str, tuple[Interval, Interval]] = {}
    paper: dict[str, tuple[Interval, Interval]] = {}
    there = 0
    for row in artifact.rows:
        pair = [cell(plan, store, artifact, row, column) for column in artifact.columns]
        said = [printed("table1", row.key, column.key) for column in artifact.columns]  # the figure plots its numbers
        if all(said):
            paper[row.label] = tuple((one.value / 100,) * 3 for one in said if one)  # type: ignore[assignment]
        if all(one.first for one in pair):
            there += 1
            ours[row.label] = tuple(  # type: ignore[assignment]
                (one.first.mean / 100, *(end / 100 for end in one.first.interval or (one.first.mean,) * 2))
                for one in pair
                if one.first
            )
    pictures = []
    for name, models, whose in (("ours", ours, "measured here"), ("paper", paper, "as printed in Table 1")):
        if models:
            svg = to_svg(tradeoff(models, attack="AutoAttack"), title=f"{artifact.title}, {whose}")
            pictures.append(Picture(name, f"Clean against AutoAttack accuracy, {whose}", svg))
    return Drawn(artifact, tuple(pictures), there, len(artifact.rows))


def _searches(plan: Plan, store: Store, artifact: Artifact) -> Drawn:
    found: dict[str, list[Sequence[Mapping[str, Any]]]] = {}
    wanted = 0
    for name in artifact.searches:
        for seed in plan.scale.seeds:
            wanted += 1
            run = store.finished(plan.search(name, seed))
            if run is not None:
                label = name.replace("gamma_", "AdvRush, gamma ").replace("darts", "DARTS")
                found.setdefault(label, []).append(run.metrics())
    pictures = []
    if found:
        svg = to_svg(searches_figure(found), title=artifact.title)
        several = ", mean over seeds with smallest and largest" if len(plan.scale.seeds) > 1 else ""
        pictures.append(Picture("curves", f"Validation loss and L_lambda by epoch{several}", svg))
    return Drawn(artifact, tuple(pictures), sum(len(each) for each in found.values()), wanted)


def searches_figure(searches: Mapping[str, Sequence[Sequence[Mapping[str, Any]]]]) -> Figure:
    """Draw L_val (left, linear) and L_lambda (right, logarithmic) of searches by label, each with its seeds' rows."""
    figure, (left, right) = new_figure(2)
    drawn = styles({label: _searched(label) for label in searches})
    for label, seeds in searches.items():
        color, marks = drawn[label].color, drawn[label].points(len(seeds[0]))
        for axis, key in ((left, "loss_val"), (right, "curvature")):
            epochs = [epoch for epoch, _ in zip(*xy(seeds[0], key), strict=True)]
            values = np.array([xy(rows, key)[1] for rows in seeds if len(xy(rows, key)[1]) == len(epochs)])
            if not len(epochs):
                continue
            axis.plot(epochs, values.mean(axis=0), color=color, label=label, **marks)
            if len(values) > 1:
                axis.fill_between(epochs, values.min(axis=0), values.max(axis=0), color=color, alpha=0.15, linewidth=0)
    right.set_yscale("log")
    left.set_ylabel("validation loss L_val")
    right.set_ylabel("curvature L_λ (log scale)")
    first = next((rows for seeds in searches.values() for rows in seeds if switch_epoch(rows)), None)
    for axis in (left, right):
        axis.set_xlabel("epoch")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        if first is not None:
            axis.axvline((switch_epoch(first) or 0) - 0.5, color="#6b7280", linewidth=1, linestyle=(0, (2, 2)))
    legend_above(figure, (left, right))
    return figure


def _searched(label: str) -> str:
    """Return what gives a search its color: its architecture, but for gammas other than the paper's the label."""
    own = re.search(r"gamma ([0-9.e-]+)", label)
    return architecture_in(label) if own is None or float(own[1]) == 0.01 else label


def _landscapes(plan: Plan, store: Store, artifact: Artifact) -> Drawn:
    found = []
    wanted = 0
    seed = plan.scale.seeds[0]
    for column in artifact.columns:
        for row in artifact.rows:
            wanted += 1
            run = store.finished(plan.landscape(row, column, seed))
            if run is not None:
                record = Record.read(run.path)
                arrays = record.tensors("landscape.safetensors") or {}
                found.append((row, column.recipe or "", record.result or {}, arrays))
    pictures = []
    if found:
        shared = Range(
            max(float(arrays["coordinates"].max()) for *_, arrays in found),
            min(float(arrays["mean"].min()) for *_, arrays in found),
            max(float(arrays["mean"].max()) for *_, arrays in found),
        )
        for row, recipe, result, arrays in found:
            pictures.append(_surface(row, recipe, result, arrays, shared))
    return Drawn(artifact, tuple(pictures), len(found), wanted)


def _surface(row: Row, recipe: str, result: Mapping[str, Any], arrays: Mapping[str, Any], shared: Range) -> Picture:
    name = architecture_in(row.label)
    mean, axis, where = arrays["mean"], arrays["coordinates"], {"around": "input", "direction": "normal"}
    figure = surface_figure(mean, axis, shared, **where, name=row.label, color=architecture_colors([name])[name])
    slope, curvature = result["steepest_slope"], result["lambda_max"]
    caption = (
        f"{row.label}, {recipe} training: steepest slope {slope['value']:.3g} "
        f"[{slope['low']:.3g}, {slope['high']:.3g}], mean lambda_max {curvature['mean']:.3g} "
        f"[{curvature['low']:.3g}, {curvature['high']:.3g}]"
    )
    name = f"{row.key.replace('/', '-')}-{recipe}"
    svg = to_svg(figure, title=f"Loss surface of {row.label}, {recipe} training")
    return Picture(name, caption, svg.showing(svg.name, *surface_numbers(mean, axis, **where)))


def _cells(plan: Plan, store: Store, artifact: Artifact) -> Drawn:
    pictures, there, wanted = [], 0, 0
    for row in artifact.rows:
        for seed in plan.scale.seeds if row.search else plan.scale.seeds[:1]:
            wanted += 1
            if row.search is None:
                architecture = find_architecture(row.arch or "")
            else:
                run = store.finished(plan.search(row.search, seed))
                architecture = None if run is None else derive(run.path)
            if architecture is None:
                continue
            there += 1
            for kind, graph in architecture.cells().items():
                title = f"{row.label}, {kind_label(kind).lower()}" + (f", seed {seed}" if row.search else "")
                name = f"{row.key}-{kind}" + (f"-{seed}" if row.search else "")
                pictures.append(Picture(name, title, draw_cell(graph, title=title)))
    return Drawn(artifact, tuple(pictures), there, wanted)


def _steps(plan: Plan, store: Store, artifact: Artifact) -> Drawn:
    there = wanted = 0
    curves: dict[str, dict[str, Any]] = {}
    for row in artifact.rows:
        if row.dataset not in plan.scale.images:
            continue
        for seed in plan.scale.seeds:
            wanted += 1
            run = store.finished(plan.steps(row, seed))
            if run is not None:
                there += 1
                curves.setdefault(row.dataset, {}).setdefault(row.label, run.result()["sweeps"]["steps"])
    pictures = [
        Picture(dataset, f"{dataset}: accuracy by steps of PGD", to_svg(
            sweep_curves(models, "steps"), title=f"Accuracy by steps of PGD, {dataset}"))
        for dataset, models in curves.items()
    ]  # fmt: skip
    return Drawn(artifact, tuple(pictures), there, wanted)
