"""A search space as a value: all that a search, a report or an analysis may know of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from advrush.space.genotype import Architecture


@dataclass(frozen=True)
class Topology:
    """The states of a cell and every edge that a search may choose a primitive for.

    States 0..inputs-1 are the cell's inputs, the `nodes` states after them its nodes. `edges` holds
    (source, target) pairs; their order is that of the rows of alpha. `outputs` are concatenated.
    """

    inputs: int
    nodes: int
    edges: tuple[tuple[int, int], ...]
    outputs: tuple[int, ...]

    def stride(self, source: int, reduces: bool) -> int:
        """Return an edge's stride: 2 where a reducing cell's edge reads one of the cell's inputs."""
        return 2 if reduces and source < self.inputs else 1

    def incoming(self, target: int) -> tuple[int, ...]:
        """Return the rows of `edges` that enter the state `target`, in order."""
        return tuple(row for row, edge in enumerate(self.edges) if edge[1] == target)


class CellPlan(NamedTuple):
    """One cell of the network: its kind, its width in units of the first cell's, and where sizes halve."""

    kind: str
    multiplier: int
    reduces: bool
    previous_reduces: bool


@dataclass(frozen=True)
class Space:
    """A search space: primitives (columns of alpha), cell topology (rows), skeleton and discretization.

    `skeleton(layers)` plans the cells from input to output. `discretize(weights)` takes one array of
    softmax weights (edges, primitives) per kind. `parse(text)` reads the space's genotypes.
    The stem gives `stem_multiplier` times the first cells' channels.
    """

    name: str
    primitives: tuple[str, ...]
    topology: Topology
    kinds: tuple[str, ...]
    skeleton: Callable[[int], tuple[CellPlan, ...]]
    discretize: Callable[[Mapping[str, Any]], Architecture]
    parse: Callable[[str], Architecture]
    stem_multiplier: int = 3
