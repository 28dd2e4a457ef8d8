"""Cells as a table of a notebook."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any


def cells_html(cells: Mapping[str, Any]) -> str:
    """Return a table of each `CellGraph`: a row a node, the primitives that enter it and the state each reads."""
    return "".join(_table(kind, graph) for kind, graph in cells.items())


def _table(kind: str, graph: Any) -> str:
    rows = []
    for state in range(graph.inputs, graph.inputs + graph.nodes):
        terms = [
            f"{html.escape(edge.primitive)}({_state(edge.source, graph.inputs)})"
            for edge in graph.edges
            if edge.target == state
        ]
        rows.append(f"<tr><th>node {state - graph.inputs}</th><td>{' + '.join(terms) or '0'}</td></tr>")
    return f"<table><caption>{html.escape(kind)} cell</caption><tbody>{''.join(rows)}</tbody></table>"


def _state(source: int, inputs: int) -> str:
    """Return the name of a state: an input of the cell, counted back from the cell before it, or a node."""
    if source >= inputs:
        return f"node {source - inputs}"
    return "c" + ("" if inputs == 1 else f"<sub>k-{inputs - source}</sub>")
