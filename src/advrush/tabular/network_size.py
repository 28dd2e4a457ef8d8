"""Parameters of the networks of a table's rows, without building each of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from advrush.models.count import parameters
from advrush.models.network import Network
from advrush.space import Architecture, CellGraph
from advrush.tabular.table import Row

EMPTY = "none"
"""A primitive without parameters."""


@dataclass(frozen=True)
class _Cells:
    """An architecture of any graphs, to be counted and nothing else."""

    space: str
    graphs: Mapping[str, CellGraph]

    def cells(self) -> dict[str, CellGraph]:
        return dict(self.graphs)

    def to_dict(self) -> dict[str, Any]:
        raise NotImplementedError

    def to_json(self) -> str:
        raise NotImplementedError


def parameters_of_rows(rows: Sequence[Row], channels: int | None = None, layers: int | None = None) -> list[int]:
    """Return the parameters of each row's network; sizes default to those of the space.

    A network's parameters are those without any primitive and what each edge adds, which depends on the kind of cell,
    the primitive and whether it reads an input of the cell: one network is built for each such case.
    """
    known: dict[object, int] = {}

    def count(space: str, graphs: Mapping[str, CellGraph], key: object) -> int:
        if key not in known:
            with torch.device("meta"):
                known[key] = parameters(Network(_Cells(space, graphs), channels, layers))
        return known[key]

    def of(genotype: Architecture) -> int:
        graphs = genotype.cells()
        bare = {
            kind: graph._replace(edges=tuple(edge._replace(primitive=EMPTY) for edge in graph.edges))
            for kind, graph in graphs.items()
        }
        shape = tuple((kind, graph.nodes, graph.outputs, len(graph.edges)) for kind, graph in graphs.items())
        total = base = count(genotype.space, bare, shape)
        for kind, graph in graphs.items():
            for place, edge in enumerate(graph.edges):
                edges = list(bare[kind].edges)
                edges[place] = edge
                one = {**bare, kind: bare[kind]._replace(edges=tuple(edges))}
                total += count(genotype.space, one, (shape, kind, edge.primitive, edge.source < graph.inputs)) - base
        return total

    return [of(row.genotype) for row in rows]
