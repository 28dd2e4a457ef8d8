"""A cell drawn as SVG: states, a colored box for every primitive, lines that cross no box, a legend."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from markupsafe import Markup

from advrush.report.drawing.cell_layout import OUTPUT, Item, Layout, arrange
from advrush.report.drawing.drawn import Drawing
from advrush.report.drawing.palette import primitive_color
from advrush.report.drawing.svg import document, element, text
from advrush.report.labels import primitive_label, state_label
from advrush.space import CellGraph

MARGIN = 12.0
STATE = 46.0
"""Width of a state's own box."""
STUB = 14.0
"""Length of the line between a primitive's box and the node."""
BETWEEN = 58.0
"""Width of the band between two columns, where lines may bend."""
LETTER = 6.5
"""Width that a letter of 11.5 px may take."""


COLUMNS = ("node", "input", "primitive", "marked")
"""Of a cell's numbers: a row for each edge."""


def draw_cell(graph: CellGraph, *, title: str = "Cell", marked: Collection[int] = (), digest: str = "") -> Drawing:
    """Draw a cell of any search space: groups of class `state`, `edge` (one a primitive) and `join` (outputs).

    Edges whose index is in `marked` have a dashed frame: what another cell lacks. Colors other than the primitives' own
    are `currentColor`: the drawing suits light and dark pages. `digest`, of the run that is shown, stands in the
    corner.
    """
    layout = arrange(graph)
    box = max((len(primitive_label(edge.primitive)) for edge in graph.edges), default=8) * LETTER + 16
    xs = _column_xs(layout, box)
    lines = _lines(graph, layout, xs, box)
    states = [_state(graph, layout, item, xs[index], box, marked) for index, item in _states(layout)]
    legend, legend_height = _legend(graph, xs[-1] + STATE)
    body = element("g", *lines, *states, transform=f"translate({MARGIN} {MARGIN})")
    low = layout.height + 2 * MARGIN + 8
    width = max(xs[-1] + STATE, 320.0) + 2 * MARGIN
    foot = element("g", *legend, transform=f"translate({MARGIN} {low})")
    told = f"{title}: {describe_cell(graph)}"
    svg = document(width, low + legend_height + (10 if digest else 0), told, body, foot, corner=digest)
    return Drawing.of(
        svg, f"{title} {digest}", COLUMNS, [_row(graph, edge, edge in marked) for edge in range(len(graph.edges))]
    )


def _row(graph: CellGraph, index: int, marked: bool) -> tuple[object, ...]:
    edge = graph.edges[index]
    ends = (state_label(state, graph.inputs) for state in (edge.target, edge.source))
    return (*ends, edge.primitive, int(marked))


def describe_cell(graph: CellGraph) -> str:
    """Return a cell in words, for readers that do not see the drawing."""
    names = []
    for state in range(graph.inputs, graph.inputs + graph.nodes):
        into = [edge for edge in graph.edges if edge.target == state]
        terms = [f"{primitive_label(edge.primitive)} of {state_label(edge.source, graph.inputs)}" for edge in into]
        names.append(f"node {state_label(state, graph.inputs)} = {' + '.join(terms) or 'nothing'}")
    return "; ".join([*names, f"output = {output_label(graph)}"]).replace("_", " ")


def output_label(graph: CellGraph) -> str:
    """Return what the cell puts out: one node, or nodes joined."""
    nodes = ", ".join(state_label(state, graph.inputs) for state in graph.outputs)
    return f"node {nodes}" if len(graph.outputs) == 1 else f"concat of nodes {nodes}"


def _states(layout: Layout) -> list[tuple[int, Item]]:
    return [(index, item) for index, column in enumerate(layout.columns) for item in column if not item.lane]


def _column_xs(layout: Layout, box: float) -> list[float]:
    """Return the left border of each column's states, the boxes in front of them accounted for."""
    xs, x = [], 0.0
    for column in layout.columns:
        boxes = any(item.boxes for item in column)
        x += box + STUB if boxes else 0.0
        xs.append(x)
        x += STATE + BETWEEN
    return xs


def _state(graph: CellGraph, layout: Layout, item: Item, x: float, box: float, marked: Collection[int]) -> Markup:
    """Draw a state and, in front of it, the boxes of the primitives that enter it."""
    output = "c_k" if graph.inputs > 1 else "output"
    name = output if item.state == OUTPUT else state_label(item.state, graph.inputs)
    outer = item.state == OUTPUT or item.state < graph.inputs
    shape = element(
        "rect", x=x, y=item.y - 13, width=STATE, height=26.0, rx=6 if outer else 13,
        stroke="currentColor", stroke_width=1.4, fill="currentColor", fill_opacity=0.14 if outer else 0.05,
    )  # fmt: skip
    drawn = element("g", shape, text(x + STATE / 2, item.y, name, size=13, font_weight=600), cls="state")
    boxes = [_box(graph, edge, x - STUB - box, layout.box_y(item, edge), box, edge in marked) for edge in item.boxes]
    return drawn + Markup("").join(boxes)


def _box(graph: CellGraph, index: int, x: float, y: float, width: float, marked: bool) -> Markup:
    edge = graph.edges[index]
    color, faint = primitive_color(edge.primitive), edge.primitive == "none"
    source, target = (state_label(state, graph.inputs) for state in (edge.source, edge.target))
    frame = element(
        "rect", x=x - 3, y=y - 14, width=width + 6, height=28.0, rx=6, stroke="currentColor", stroke_width=1.8,
        stroke_dasharray="4 3", cls="differs",
    )  # fmt: skip
    return element(
        "g",
        element("title", f"{edge.primitive}: {source.replace('_', ' ')} to node {target}"),
        element("rect", x=x, y=y - 11, width=width, height=22.0, rx=4, fill=color),
        text(x + width / 2, y, primitive_label(edge.primitive), size=11.5, fill="#fff", font_weight=500),
        *([frame] if marked else []),
        cls="edge",
        opacity=0.55 if faint else None,
    )


def _lines(graph: CellGraph, layout: Layout, xs: list[float], box: float) -> list[Markup]:
    """Draw the lines from column to column; those of one source share their lanes."""
    drawn: dict[str, Markup] = {}
    column_of = {item.state: index for index, item in _states(layout)}
    for index, item in _states(layout):
        for edge in item.boxes:
            y = layout.box_y(item, edge)
            source = graph.edges[edge].source
            color = primitive_color(graph.edges[edge].primitive)
            end = (xs[index] - STUB - box, y)
            _trace(layout, xs, box, drawn, source, column_of[source], index, end, "wire")
            stub = f"M{xs[index] - STUB:.1f} {y:.1f}L{xs[index]:.1f} {item.y + (y - item.y) * 0.3:.1f}"
            drawn[stub] = element("path", d=stub, stroke=color, stroke_width=1.6)
    last = len(layout.columns) - 1
    for state in graph.outputs:
        end = (xs[last], layout.carrier(OUTPUT, last).y)
        _trace(layout, xs, box, drawn, state, column_of[state], last, end, "join")
    return list(drawn.values())


def _trace(
    layout: Layout, xs: list[float], box: float, drawn: dict[str, Markup], source: int, first: int, last: int,
    end: tuple[float, float], cls: str,
) -> None:  # fmt: skip
    """Add the line from a source to `end`: bent between columns, level where it passes one."""
    dash = "3 4" if cls == "join" else None
    style = {"stroke": "currentColor", "stroke_width": 1.3, "stroke_opacity": 0.55, "cls": cls}
    x, y = xs[first] + STATE, layout.carrier(source, first).y
    for column in range(first + 1, last + 1):
        carried = layout.carrier(source, column) if column < last else None
        boxes = any(item.boxes for item in layout.columns[column])
        left = xs[column] - (box + STUB if boxes else 0.0)
        goal = (left, carried.y) if carried else end
        middle = (x + goal[0]) / 2
        bend = f"M{x:.1f} {y:.1f}C{middle:.1f} {y:.1f} {middle:.1f} {goal[1]:.1f} {goal[0]:.1f} {goal[1]:.1f}"
        drawn.setdefault(bend, element("path", d=bend, stroke_dasharray=dash, **style))
        x, y = goal
        if carried:
            level = f"M{x:.1f} {y:.1f}H{xs[column] + STATE:.1f}"
            drawn.setdefault(level, element("path", d=level, stroke_dasharray=dash, **style))
            x = xs[column] + STATE


def _legend(graph: CellGraph, width: float) -> tuple[list[Markup], float]:
    """Return swatches of the primitives in use, with their counts, and the height that they take."""
    entries, x, y = [], 0.0, 8.0
    for primitive, count in sorted(Counter(edge.primitive for edge in graph.edges).items()):
        label = f"{primitive_label(primitive)} ({count})"
        needed = 20 + len(label) * 6.4 + 14
        if x and x + needed > max(width, 320.0):
            x, y = 0.0, y + 20
        swatch = element("rect", x=x, y=y - 6, width=12, height=12, rx=3, fill=primitive_color(primitive))
        entries.append(element("g", swatch, text(x + 18, y, label, size=11.5, anchor="start"), cls="legend"))
        x += needed
    return entries, y + 14
