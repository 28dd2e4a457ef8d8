"""Cells of NAS-Bench-201 that are the same network: the form by which its tables join them."""

from __future__ import annotations

from collections.abc import Sequence

from advrush.space.genotype import Architecture

ZERO, INPUT = "#", "0"


def canonical(cell: Architecture) -> str:
    """Return a text that isomorphic cells share: 6,466 different ones for the 15,625 cells (Dong and Yang, ICLR 2020).

    A node is the sorted sum of what enters it. An edge `none`, or from a node that is one zero, enters as a zero;
    `skip_connect` as the text of its source; every other primitive as itself behind that text. The published tables
    have one row for each of these texts. A zero stays in a sum as a term, and a sum that a skip hands on keeps its
    place, so that some of the 6,466 still compute the same function: `function` joins those too.
    """
    nodes = [INPUT]
    for edges in _incoming(cell):
        terms = [
            ZERO
            if primitive == "none" or nodes[source] == ZERO
            else nodes[source]
            if primitive == "skip_connect"
            else f"({nodes[source]})@{primitive}"
            for source, primitive in edges
        ]
        nodes.append("+".join(sorted(terms)))
    return nodes[-1]


def function(cell: Architecture) -> str:
    """Return a text that cells share exactly where their graphs compute one function: 4,930 different ones.

    Sums that skips hand on are merged, and zeros leave the sums, also behind a primitive: each maps zeros to zeros, up
    to the constant that a batch norm may add.
    """
    nodes: list[tuple[str, ...]] = [(INPUT,)]
    for edges in _incoming(cell):
        terms: list[str] = []
        for source, primitive in edges:
            if primitive == "skip_connect":
                terms += nodes[source]
            elif primitive != "none" and nodes[source]:
                terms.append(f"{primitive}({'+'.join(nodes[source])})")
        nodes.append(tuple(sorted(terms)))
    return "+".join(nodes[-1]) or ZERO


def _incoming(cell: Architecture) -> list[Sequence[tuple[int, str]]]:
    """Return (source, primitive) of the edges that enter each node."""
    (graph,) = cell.cells().values()
    return [
        [(edge.source, edge.primitive) for edge in graph.edges if edge.target == target]
        for target in range(1, graph.nodes + 1)
    ]
