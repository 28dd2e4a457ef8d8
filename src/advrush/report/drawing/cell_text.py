"""Cells as text for other programs: Graphviz's dot and Mermaid."""

from __future__ import annotations

from collections.abc import Mapping

from advrush.report.drawing.palette import primitive_color
from advrush.report.labels import primitive_label, state_label
from advrush.space import CellGraph


def to_dot(cells: Mapping[str, CellGraph]) -> str:
    """Return titled cells as one directed graph in Graphviz's language, a cluster a cell, an edge a primitive."""
    lines = ["digraph cells {", "  rankdir=LR;", '  node [shape=box, style=rounded, fontname="sans-serif"];',
             '  edge [fontname="sans-serif", fontsize=10];']  # fmt: skip
    for kind, (title, graph) in _named(cells).items():
        lines += [f"  subgraph cluster_{kind} {{", f'    label="{title}";']
        lines += [f'    {kind}_{name} [label="{label}"];' for name, label in _states(graph)]
        for edge in graph.edges:
            color = primitive_color(edge.primitive)
            lines.append(
                f"    {kind}_s{edge.source} -> {kind}_s{edge.target} "
                f'[label="{primitive_label(edge.primitive)}", color="{color}", fontcolor="{color}"];'
            )
        lines += [f"    {kind}_s{state} -> {kind}_out [style=dashed];" for state in graph.outputs]
        lines.append("  }")
    return "\n".join([*lines, "}"]) + "\n"


def to_mermaid(cells: Mapping[str, CellGraph]) -> str:
    """Return the cells, by their titles, as one Mermaid flowchart, a subgraph a cell, a label a primitive."""
    lines, styles = ["flowchart LR"], []
    count = 0
    for kind, (title, graph) in _named(cells).items():
        lines.append(f'  subgraph {kind}["{title}"]')
        lines += [f'    {kind}_{name}["{label}"]' for name, label in _states(graph)]
        for edge in graph.edges:
            lines.append(f'    {kind}_s{edge.source} -->|"{primitive_label(edge.primitive)}"| {kind}_s{edge.target}')
            styles.append(f"  linkStyle {count} stroke:{primitive_color(edge.primitive)}")
            count += 1
        lines += [f"    {kind}_s{state} -.-> {kind}_out" for state in graph.outputs]
        count += len(graph.outputs)
        lines.append("  end")
    return "\n".join([*lines, *styles]) + "\n"


def _named(cells: Mapping[str, CellGraph]) -> dict[str, tuple[str, CellGraph]]:
    """Return the cells and their titles by words that both languages take as names."""
    return {f"cell{index}": (title.replace('"', "'"), graph) for index, (title, graph) in enumerate(cells.items())}


def _states(graph: CellGraph) -> list[tuple[str, str]]:
    """Return names and labels of all states, the output last."""
    states = [(f"s{state}", state_label(state, graph.inputs)) for state in range(graph.inputs + graph.nodes)]
    return [*states, ("out", "c_k" if graph.inputs > 1 else "output")]
