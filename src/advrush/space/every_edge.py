"""Spaces whose derived cells keep every edge of the topology, each with its strongest primitive."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from advrush.config import did_you_mean
from advrush.errors import GenotypeError
from advrush.reading.gate import shown
from advrush.space.cells_html import cells_html
from advrush.space.edge_weights import checked_weights
from advrush.space.genotype import CellGraph, GraphEdge
from advrush.space.space import Plan, Space, Topology


@dataclass(frozen=True)
class EdgeGenotype:
    """One primitive for each edge of the topology, by kind of cell, in the order of `topology.edges`.

    Raises GenotypeError, naming the cell and the edge, for a wrong number of edges or an unknown primitive.
    """

    space: str
    topology: Topology
    primitives: tuple[str, ...]
    """All that an edge may hold."""
    choices: Mapping[str, tuple[str, ...]]

    def __post_init__(self) -> None:
        for kind, chosen in self.choices.items():
            if len(chosen) != len(self.topology.edges):
                raise GenotypeError(f"{kind}: got {len(chosen)} edges; expected {len(self.topology.edges)}")
            for index, name in enumerate(chosen):
                if name not in self.primitives:
                    hint = did_you_mean(shown(name), self.primitives)
                    raise GenotypeError(f"{kind} edge {index}: unknown primitive {shown(name)}{hint}")

    def _repr_html_(self) -> str:
        """Return the cells as notebooks show them."""
        return cells_html(self.cells())

    def cells(self) -> dict[str, CellGraph]:
        """Return the graph of each kind of cell."""
        topology = self.topology
        return {
            kind: CellGraph(
                topology.inputs,
                topology.nodes,
                tuple(
                    GraphEdge(source, target, name)
                    for (source, target), name in zip(topology.edges, chosen, strict=True)
                ),
                topology.outputs,
            )
            for kind, chosen in self.choices.items()
        }

    def to_dict(self) -> dict[str, Any]:
        """Return plain values: the space's name and the primitives of each kind's edges."""
        return {"space": self.space, "cells": {kind: list(chosen) for kind, chosen in self.choices.items()}}

    def to_json(self) -> str:
        """Return one line of JSON that the space's `parse` reads back."""
        return json.dumps(self.to_dict())


def every_edge_space(
    name: str,
    primitives: tuple[str, ...],
    topology: Topology,
    skeleton: Callable[[int], tuple[Plan, ...]],
    *,
    kinds: tuple[str, ...] = ("cell",),
    **options: Any,
) -> Space:
    """Return a space whose cells keep all edges; `options` are further fields of `Space`.

    Of equal weights the earlier primitive wins. Its genotypes are `EdgeGenotype`s, written as JSON.
    """

    def discretize(weights: Mapping[str, Any]) -> EdgeGenotype:
        edges = len(topology.edges)
        arrays = {kind: checked_weights(weights, kind, edges=edges, primitives=primitives) for kind in kinds}
        choices = {kind: tuple(primitives[i] for i in array.argmax(axis=1)) for kind, array in arrays.items()}
        return EdgeGenotype(name, topology, primitives, choices)

    def parse(text: str) -> EdgeGenotype:
        try:
            data = json.loads(text)
        except (json.JSONDecodeError, RecursionError, ValueError):
            raise GenotypeError(f"genotype: not the JSON of a genotype of the space {name!r}") from None
        if not isinstance(data, dict) or data.get("space") != name or not isinstance(data.get("cells"), dict):
            raise GenotypeError(f'genotype: expected {{"space": "{name}", "cells": {{...}}}} with {", ".join(kinds)}')
        cells = data["cells"]
        if set(cells) != set(kinds) or not all(isinstance(cell, list) for cell in cells.values()):
            raise GenotypeError(f"genotype: got the cells {shown(list(cells))}; expected lists for {', '.join(kinds)}")
        return EdgeGenotype(name, topology, primitives, {kind: tuple(cells[kind]) for kind in kinds})

    return Space(name, primitives, topology, kinds, skeleton, discretize, parse, **options)
