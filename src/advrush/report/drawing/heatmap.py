"""The softmax of alpha as a heat map: one row an edge, one column a primitive, one panel a cell kind."""

from __future__ import annotations

import numpy as np
from markupsafe import Markup

from advrush.report.drawing.drawn import Drawing
from advrush.report.drawing.svg import document, element, text
from advrush.report.labels import kind_label, primitive_label, state_label
from advrush.report.records import Array, softmax
from advrush.space import CellGraph, Space

CELL, ROW = 46.0, 20.0
LEFT, TOP = 84.0, 74.0
RIGHT = 52.0
"""Room for the last, slanted column name."""

COLUMNS = ("from", "to", "primitive", "softmax of alpha", "kept")


def alpha_heatmap(
    space: Space, alphas: Array, *, kind: str, graph: CellGraph | None = None, digest: str = ""
) -> Drawing:
    """Draw softmax(alphas) of one cell kind; `alphas` is (edges, primitives), raw.

    The tint grows from the panel's smallest weight to its largest, up to one that text still stands out from. What
    `graph` (the derived cell) keeps is outlined. `digest`, of the run that is shown, stands in the corner.
    """
    weights = softmax(np.asarray(alphas, dtype=np.float64))
    depth = (weights - weights.min()) / max(np.ptp(weights), 1e-12)
    inputs, edges = space.topology.inputs, space.topology.edges
    kept = {(edge.source, edge.target, edge.primitive) for edge in graph.edges} if graph else set()
    parts = [_column_name(column, name) for column, name in enumerate(space.primitives)]
    rows: list[tuple[object, ...]] = []
    for row, (source, target) in enumerate(edges):
        y = TOP + row * ROW
        ends = [state_label(state, inputs) for state in (source, target)]
        parts.append(text(LEFT - 8, y + ROW / 2, " → ".join(ends), size=11, anchor="end"))
        for column, primitive in enumerate(space.primitives):
            chosen = (source, target, primitive) in kept
            parts.append(_square(weights[row, column], depth[row, column], column, y, chosen=chosen))
            rows.append((*ends, primitive, float(weights[row, column]), int(chosen)))
    width = LEFT + CELL * len(space.primitives) + RIGHT
    title = f"{kind_label(kind)}: softmax of alpha, {len(edges)} edges by {len(space.primitives)} primitives"
    svg = document(width, TOP + ROW * len(edges) + (16 if digest else 6), title, *parts, corner=digest)
    return Drawing.of(svg, f"softmax of alpha, {kind_label(kind).lower()} {digest}", COLUMNS, rows)


def _square(weight: float, depth: float, column: int, y: float, *, chosen: bool) -> Markup:
    """Draw one weight: a tinted square, the number on it, an outline if the derived cell keeps it."""
    x = LEFT + column * CELL
    rect = element(
        "rect", x=x + 0.5, y=y + 0.5, width=CELL - 1, height=ROW - 1, rx=2, fill="var(--heat, #2b6cb0)",
        fill_opacity=f"{0.04 + 0.68 * depth:.3f}", cls="weight",
        stroke="currentColor" if chosen else None, stroke_width=1.6 if chosen else None,
    )  # fmt: skip
    weighty = 700 if chosen else None
    return rect + text(
        x + CELL / 2, y + ROW / 2, f"{weight:.3f}"[1:] if weight < 1 else "1", size=10, font_weight=weighty
    )


def _column_name(column: int, primitive: str) -> Markup:
    x, y = LEFT + (column + 0.5) * CELL, TOP - 8
    return element(
        "text", primitive_label(primitive), x=x, y=y, font_size=11, fill="currentColor",
        transform=f"rotate(-40 {x} {y})",
    )  # fmt: skip
