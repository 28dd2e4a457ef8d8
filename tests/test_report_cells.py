"""Drawings of cells: what is in them, and that nothing in them overlaps."""

from __future__ import annotations

from collections import Counter
from itertools import combinations, pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advrush.report import draw_cell
from advrush.report.drawing.cell_layout import GAP, LANE, OUTPUT, PITCH, arrange
from advrush.report.drawing.palette import primitive_color, primitive_label
from advrush.space import PRIMITIVES, PUBLISHED, CellGraph, GraphEdge

ONE_INPUT = CellGraph(
    1,
    3,
    (
        GraphEdge(0, 1, "nor_conv_3x3"),
        GraphEdge(0, 2, "none"),
        GraphEdge(1, 2, "nor_conv_1x1"),
        GraphEdge(0, 3, "skip_connect"),
        GraphEdge(1, 3, "avg_pool_3x3"),
        GraphEdge(2, 3, "nor_conv_3x3"),
    ),
    (3,),
)
"""A cell as in NAS-Bench-201: one input, every pair of states joined, the last node is the output."""

CELLS = {f"{name} {kind}": cell for name, it in PUBLISHED.items() for kind, cell in it.cells().items()}
CELLS["one input"] = ONE_INPUT
SVG = "{http://www.w3.org/2000/svg}"


@st.composite
def graphs(draw: st.DrawFn) -> CellGraph:
    inputs, nodes = draw(st.integers(1, 3)), draw(st.integers(1, 6))
    edges = [
        GraphEdge(draw(st.integers(0, target - 1)), target, draw(st.sampled_from(PRIMITIVES)))
        for target in range(inputs, inputs + nodes)
        for _ in range(draw(st.integers(1, 4)))
    ]
    outputs = draw(st.sets(st.integers(inputs, inputs + nodes - 1), min_size=1))
    return CellGraph(inputs, nodes, tuple(edges), tuple(sorted(outputs)))


def groups(root: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    return [group for group in root.iter(f"{SVG}g") if group.get("class") == name]


def boxes(root: ElementTree.Element) -> list[tuple[float, float, float, float]]:
    """Return left, top, right, bottom of every state and primitive."""
    rects = [group.find(f"{SVG}rect") for name in ("state", "edge") for group in groups(root, name)]
    values = [
        [float(rect.get(key, "nan")) for key in ("x", "y", "width", "height")] for rect in rects if rect is not None
    ]
    return [(x, y, x + width, y + height) for x, y, width, height in values]


def crosses(path: str, box: tuple[float, float, float, float]) -> bool:
    """Tell whether a wire (a level line or one bend, sampled) enters the inside of a box."""
    left, top, right, bottom = (side + sign * 0.5 for side, sign in zip(box, (1, 1, -1, -1), strict=True))
    return any(left < x < right and top < y < bottom for x, y in points(path))


def points(path: str) -> list[tuple[float, float]]:
    if "H" in path:
        start, end = path[1:].split("H")
        x, y = map(float, start.split())
        return [(x + (float(end) - x) * i / 50, y) for i in range(51)]
    numbers = [float(word) for word in path[1:].replace("C", " ").split()]
    xs, ys = numbers[0::2], numbers[1::2]

    def bezier(p: list[float], t: float) -> float:
        return (1 - t) ** 3 * p[0] + 3 * (1 - t) ** 2 * t * p[1] + 3 * (1 - t) * t**2 * p[2] + t**3 * p[3]

    return [(bezier(xs, i / 50), bezier(ys, i / 50)) for i in range(51)]


@pytest.mark.parametrize("name", CELLS)
def test_every_state_and_every_edge_is_drawn_once(name: str) -> None:
    cell = CELLS[name]
    root = ElementTree.fromstring(draw_cell(cell, title=name))
    assert len(groups(root, "state")) == cell.inputs + cell.nodes + 1
    drawn = Counter(text.text for group in groups(root, "edge") for text in group.iter(f"{SVG}text"))
    assert drawn == Counter(primitive_label(edge.primitive) for edge in cell.edges)
    joins = {edge.primitive for edge in cell.edges}
    legend = {rect.get("fill") for group in groups(root, "legend") for rect in group.iter(f"{SVG}rect")}
    assert legend == {primitive_color(primitive) for primitive in joins}


@pytest.mark.parametrize("name", CELLS)
def test_boxes_keep_apart_and_inside_and_no_line_crosses_one(name: str) -> None:
    root = ElementTree.fromstring(draw_cell(CELLS[name]))
    rects = boxes(root)
    for a, b in combinations(rects, 2):
        assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
    width, height = (float(size) for size in root.get("viewBox", "").split()[2:])
    assert all(x >= 0 and y >= 0 and right < width and bottom < height for x, y, right, bottom in rects)
    wires = [path.get("d", "") for path in root.iter(f"{SVG}path") if path.get("class")]
    assert wires
    assert not [(wire, box) for wire in wires for box in rects if crosses(wire, box)]


@settings(max_examples=60, deadline=None)
@given(graphs())
def test_items_of_a_column_keep_their_distance_in_any_cell(cell: CellGraph) -> None:
    layout = arrange(cell)
    states = [item.state for column in layout.columns for item in column if not item.lane]
    assert sorted(states) == [OUTPUT, *range(cell.inputs + cell.nodes)]
    for column in layout.columns:
        for upper, lower in pairwise(column):
            assert lower.y - upper.y >= (upper.height + lower.height) / 2 + GAP - 1e-6
        for item in column:
            assert item.y - item.height / 2 >= -1e-6
            assert item.y + item.height / 2 <= layout.height + 1e-6
            assert item.height == (LANE if item.lane else PITCH * max(1, len(item.boxes)))
    column_of = {item.state: i for i, column in enumerate(layout.columns) for item in column if not item.lane}
    assert all(column_of[edge.source] < column_of[edge.target] for edge in cell.edges)
    ElementTree.fromstring(draw_cell(cell))


def test_a_drawing_says_in_words_what_it_shows_and_is_the_same_each_time() -> None:
    drawing = draw_cell(ONE_INPUT, title="A <cell>")
    title = ElementTree.fromstring(drawing).findtext(f"{SVG}title")
    assert title is not None
    assert title.startswith("A <cell>: node 0 = nor conv 3×3 of input; node 1 = none of input + nor conv 1×1 of 0;")
    assert title.endswith("output = node 2")
    assert drawing == draw_cell(ONE_INPUT, title="A <cell>")


def test_white_text_is_readable_on_every_primitive_known_or_not() -> None:
    for primitive in (*PRIMITIVES, "nor_conv_1x1", "conv_7x1_1x7", "my_operation", "another", "third_one"):
        color = primitive_color(primitive)
        channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        r, g, b = (c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
        assert 1.05 / (0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05) >= 4.5, primitive


def test_a_notebook_shows_the_drawing_itself() -> None:
    drawing = draw_cell(ONE_INPUT)
    assert type(drawing._repr_html_()) is str and drawing._repr_html_().startswith("<svg")
