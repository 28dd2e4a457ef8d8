"""The terms of a cell: one for each primitive of each edge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from advrush.models.fused.conv_chain import Chain, read_chain
from advrush.space.space import Topology

Edge = Mapping[int, nn.Module]
"""The primitives of one edge, each by its column in the matrix of weights."""


@dataclass(frozen=True, eq=False)
class Term:
    """One primitive on one edge: `weights[row, column] * chain(source)` is added to `target`."""

    source: int
    target: int
    row: int
    column: int
    module: nn.Module
    chain: Chain | None
    """None: the module is not a chain and runs as it is."""


def terms_of(topology: Topology, edges: Sequence[Edge]) -> list[Term]:
    """Return the terms of a cell's `edges`, ordered by source, so that each source is finished before the next.

    The modules are read anew each time (under a millisecond a cell), so that a replaced one is seen.
    """
    terms = [
        Term(source, target, row, column, module, read_chain(module))
        for row, ((source, target), edge) in enumerate(zip(topology.edges, edges, strict=True))
        for column, module in edge.items()
    ]
    return sorted(terms, key=lambda term: (term.source, term.row))
