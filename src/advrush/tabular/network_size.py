"""Parameters of the networks of a table's rows, without building each of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence

import torch

from advrush.models.count import parameters
from advrush.models.network import Network
from advrush.space import Architecture
from advrush.tabular.table import Row


def parameters_of_rows(rows: Sequence[Row], channels: int | None = None, layers: int | None = None) -> list[int]:
    """Return the parameters of each row's network; sizes default to those of the space.

    The number depends only on which primitives a kind of cell has, how many of each, which of them read an input of
    the cell and how many outputs it joins, so that one network for each such count is enough.
    """
    known: dict[Hashable, int] = {}
    found = []
    for row in rows:
        key = _key(row.genotype)
        if key not in known:
            known[key] = _parameters(row.genotype, channels, layers)
        found.append(known[key])
    return found


def _key(genotype: Architecture) -> Hashable:
    return tuple(
        (
            kind,
            len(graph.outputs),
            frozenset(Counter((edge.primitive, edge.source < graph.inputs) for edge in graph.edges).items()),
        )
        for kind, graph in genotype.cells().items()
    )


def _parameters(genotype: Architecture, channels: int | None, layers: int | None) -> int:
    with torch.device("meta"):
        return parameters(Network(genotype, channels, layers))
