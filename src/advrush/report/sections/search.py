"""Section "Search": cells found, losses and curvature by epoch (Figure 2), weights of the edges."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from advrush.report.drawing.architectures import Style
from advrush.report.drawing.axes import Rows, dots, epoch_axis, log_curve, mark_switch
from advrush.report.drawing.cells import draw_cell
from advrush.report.drawing.heatmap import alpha_heatmap
from advrush.report.drawing.palette import series_color
from advrush.report.drawing.plot import legend_above, new_figure, signed, to_svg, xy
from advrush.report.film import scenes
from advrush.report.labels import data_set, in_words, kind_label, progress
from advrush.report.names import seed_names
from advrush.report.records import Record
from advrush.report.section import Chapter, Render, Section, Sentence


def search_curves(rows: Rows) -> Figure:
    """Draw L_val (left, linear) and L_lambda (right, logarithmic) against the epoch (Figure 2)."""
    figure, (left, right) = new_figure(2)
    left.plot(*xy(rows, "loss_train"), color=series_color(1), label="training half (weights)")
    left.plot(*xy(rows, "loss_val"), color=series_color(0), label="validation half (architecture)")
    left.set_ylabel("loss, nats")
    log_curve(right, rows, style=Style(series_color(3)), label="curvature L_λ")
    right.set_ylabel("L_λ, nats / input unit (log scale)")
    right.set_xlim(left.get_xlim())  # L_λ may be measured in few epochs
    for axis in (left, right):
        epoch_axis(axis)
        mark_switch(axis, rows)
    legend_above(figure, (left, right))
    return figure


def architecture_curves(rows: Rows) -> Figure:
    """Draw the mean entropy of softmax(alpha) and the skip connections of the genotype so far, by cell kind."""
    figure, (left, right) = new_figure(2, height=2.9)
    for index, kind in enumerate(rows[-1]["alpha_entropy"]):
        for axis, key in ((left, "alpha_entropy"), (right, "skips")):
            flat = [{"epoch": row["epoch"], key: row.get(key, {}).get(kind)} for row in rows]
            step: dict[str, Any] = {"drawstyle": "steps-mid"} if key == "skips" else {}
            axis.plot(*xy(flat, key), color=series_color(index), label=kind_label(kind), **dots(rows), **step)
    left.set_ylabel("entropy of an edge, nats")
    right.set_ylabel("skip connections")
    right.set_ylim(bottom=-0.2)
    right.yaxis.set_major_locator(MaxNLocator(integer=True))
    for axis in (left, right):
        epoch_axis(axis)
    legend_above(figure, (left,))
    return figure


def share_curves(rows: Rows) -> Figure:
    """Draw which share of the kept edges are skips, pools and `none` by epoch, a panel for each kind of cell."""
    kinds = list(rows[-1]["shares"])
    figure, axes = new_figure(len(kinds), height=2.9)
    for axis, kind in zip(axes, kinds, strict=True):
        for index, group in enumerate(("skip", "pool", "none")):
            flat = [{"epoch": row["epoch"], group: row.get("shares", {}).get(kind, {}).get(group)} for row in rows]
            epochs, values = xy(flat, group, scale=100)
            axis.plot(epochs, values, color=series_color(index), label=group, drawstyle="steps-mid", **dots(rows))
        axis.set_ylim(-4, 104)
        axis.set_ylabel(f"% of edges, {kind_label(kind).lower()}")
        epoch_axis(axis)
        mark_switch(axis, rows)
    legend_above(figure, axes[:1])
    return figure


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
        "cells": {
            kind: draw_cell(cell, title=f"{name}, {kind_label(kind).lower()}", digest=record.digest)
            for kind, cell in cells.items()
        },
        "genotype": json.dumps(genotype.to_dict()) if genotype else None,
        "curves": to_svg(signed(search_curves(rows), record.digest), title=f"{name}: losses and curvature by epoch")
        if rows
        else None,
        "film": film if len(film := scenes(record, name)) > 1 else [],
        "heatmaps": {
            kind: alpha_heatmap(space, alphas[kind], kind=kind, graph=cells.get(kind), digest=record.digest)
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
        "shares": to_svg(
            signed(share_curves(rows), record.digest), title=f"{name}: skip connections, pools and none by epoch"
        )
        if rows and rows[-1].get("shares")
        else None,
        "collapsed": [kind for kind, cell in cells.items() if cell.collapsed],
    }


def _frames(record: Record, kinds: Sequence[str]) -> str:
    """Return the weights of every epoch in thousandths as JSON, by cell kind; nothing where there is one epoch."""
    by_kind = record.weights_by_epoch()
    if not kinds or len(by_kind[kinds[0]]) < 2:
        return ""
    frames = {kind: [(1000 * each).round().astype(int).ravel().tolist() for each in by_kind[kind]] for kind in kinds}
    return json.dumps(frames, separators=(",", ":"))


def sentence(record: Record) -> str:
    """Return how long a search ran, what it found, and how its losses went."""
    config, rows = record.config, record.rows
    warm = f", {config['warmup_epochs']} of them warm-up," if config.get("warmup_epochs") else ""
    line = f"ran {len(rows)} epochs{warm} on {data_set(record)} ({progress(record)})"
    genotype = record.genotype()
    if genotype is not None:
        cells = [f"a {kind_label(kind).lower()} of {in_words(cell)}" for kind, cell in genotype.cells().items()]
        line += f" and {'found' if record.result else 'so far has'} {' and '.join(cells)}"
    line += "."
    measured = [row["curvature"] for row in rows if row.get("curvature") is not None]
    if len(rows) > 1:
        line += f" L_val went from {rows[0]['loss_val']:.3f} to {rows[-1]['loss_val']:.3f}"
        line += f", L_λ from {measured[0]:.3g} to {measured[-1]:.3g}." if len(measured) > 1 else "."
    return line


def sentences(records: Sequence[Record]) -> list[Sentence]:
    """Return a sentence for each search."""
    searches = [record for record in records if record.stage == "search"]
    names = seed_names(searches)
    return [Sentence(f"Search {names[record.path]}", sentence(record)) for record in searches]


def numbers(record: Record) -> Mapping[str, str]:
    """Return the last validation loss and curvature."""
    last = {**(record.rows[-1] if record.rows else {}), **(record.result or {})}
    found = {"L_val": last.get("loss_val"), "L_lambda": last.get("curvature")}
    return {name: f"{value:.4g}" for name, value in found.items() if value is not None}


def sections(records: Sequence[Record], render: Render) -> Iterator[Section]:
    """Yield the section of all searches that have begun."""
    if searches := begun(records):
        yield Section("search", "Search", search_body(searches, render))


def begun(records: Sequence[Record]) -> list[Record]:
    """Return the searches that have an epoch or a result."""
    return [record for record in records if record.stage == "search" and (record.rows or record.result)]


SEARCH = Chapter(sections, sentences, kind="search", numbers=numbers)
