"""Agreement of the architectures that different seeds of a search found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations

from advrush.space import Architecture, CellGraph


@dataclass(frozen=True)
class Agreement:
    """Fractions in [0, 1] of a cell's edges that two cells share, a mean over pairs where there are more."""

    wiring: float
    """Edges with the same source and target."""
    edges: float
    """Edges with the same source, target and primitive."""
    primitives: float
    """Primitives in common, wherever they stand."""


def agree(first: CellGraph, second: CellGraph) -> Agreement:
    """Compare two cells; edges are counted as a multiset, out of the larger cell's."""
    total = max(len(first.edges), len(second.edges), 1)

    def common(a: Iterable[Hashable], b: Iterable[Hashable]) -> float:
        return sum((Counter(a) & Counter(b)).values()) / total

    return Agreement(
        wiring=common((edge[:2] for edge in first.edges), (edge[:2] for edge in second.edges)),
        edges=common(first.edges, second.edges),
        primitives=common((edge.primitive for edge in first.edges), (edge.primitive for edge in second.edges)),
    )


def pairwise(found: Mapping[str, Architecture]) -> dict[tuple[str, str], dict[str, Agreement]]:
    """Compare every pair of named architectures, by cell kind; kinds that only one of them has are left out."""
    result = {}
    for (a, first), (b, second) in combinations(found.items(), 2):
        other = second.cells()
        result[a, b] = {kind: agree(graph, other[kind]) for kind, graph in first.cells().items() if kind in other}
    return result


def mean(agreements: Iterable[Agreement]) -> Agreement:
    """Return the mean of at least one agreement."""
    rows = list(agreements)
    return Agreement(
        wiring=sum(row.wiring for row in rows) / len(rows),
        edges=sum(row.edges for row in rows) / len(rows),
        primitives=sum(row.primitives for row in rows) / len(rows),
    )
