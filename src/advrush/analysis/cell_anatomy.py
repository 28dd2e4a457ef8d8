"""The anatomy of cells (Table 6): counts of operations, width and depth, for any search space."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cache

from advrush.space import Architecture, CellGraph

GROUPS = ("max_pool", "avg_pool", "skip_connect", "sep_conv", "dil_conv")
"""The operations that Table 6 counts, in its order; other primitives come behind them."""


@dataclass(frozen=True)
class Anatomy:
    """What Table 6 says of an architecture, by cell kind where cells differ."""

    counts: dict[str, int]
    """Edges of each group of primitives over all kinds of cells; `none` is not counted."""
    width: dict[str, float]
    """By cell kind, in units of the cell's channels c."""
    depth: dict[str, int]
    """By cell kind: the longest path."""


def anatomy(architecture: Architecture) -> Anatomy:
    """Return counts, widths and depths of an architecture's cells, after Shu et al. (ICLR 2020)."""
    cells = architecture.cells()
    found = Counter(group(edge.primitive) for graph in cells.values() for edge in graph.edges)
    del found["none"]
    names = (*GROUPS, *sorted(set(found) - set(GROUPS)))
    return Anatomy(
        {name: found[name] for name in names},
        {kind: width(graph) for kind, graph in cells.items()},
        {kind: depth(graph) for kind, graph in cells.items()},
    )


def group(primitive: str) -> str:
    """Return a primitive's name without its kernel: `sep_conv_3x3` and `sep_conv_5x5` are `sep_conv`."""
    head, _, tail = primitive.rpartition("_")
    return head if head and tail[:1].isdigit() else primitive


def width(graph: CellGraph) -> float:
    """Return the sum over the nodes of the fraction of their inputs that are inputs of the cell.

    Edges of the primitive `none` carry nothing and are left out.
    """
    total = 0.0
    for node in range(graph.inputs, graph.inputs + graph.nodes):
        sources = [edge.source for edge in graph.edges if edge.target == node and edge.primitive != "none"]
        total += sum(source < graph.inputs for source in sources) / len(sources) if sources else 0.0
    return total


def depth(graph: CellGraph) -> int:
    """Return the edges on the longest path from an input of the cell to its output.

    Where the outputs are concatenated, the path's last step, into the concatenation, is counted: intermediate nodes
    plus one. A single output is the last node itself. Edges of the primitive `none` are no way.
    """

    @cache
    def longest(state: int) -> int:
        if state < graph.inputs:
            return 0
        before = [longest(e.source) for e in graph.edges if e.target == state and e.primitive != "none"]
        reached = [length for length in before if length >= 0]
        return max(reached) + 1 if reached else -1

    deepest = max((longest(state) for state in graph.outputs), default=-1)
    joined = 1 if len(graph.outputs) > 1 else 0
    return deepest + joined if deepest >= 0 else 0
