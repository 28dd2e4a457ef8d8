"""Edges of one genotype that another lacks."""

from __future__ import annotations

from collections import Counter

from advrush.space import CellGraph, GraphEdge


def only_in(graph: CellGraph, other: CellGraph | None) -> frozenset[int]:
    """Return the edges of `graph`, by index, that `other` has no equal of: same source, target and primitive.

    An edge that `graph` has twice and `other` once is one difference.
    """
    left: Counter[GraphEdge] = Counter(other.edges if other else ())
    found = set()
    for index, edge in enumerate(graph.edges):
        if left[edge] > 0:
            left[edge] -= 1
        else:
            found.add(index)
    return frozenset(found)
