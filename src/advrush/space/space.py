"""The search space as a value: primitives, topology, network plan, discretization, genotype text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from advrush.config import check
from advrush.space.genotype import Architecture


def text_of(genotype: Architecture) -> str:
    """Return the genotype's JSON: the form of a space that has no other."""
    return genotype.to_json()


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
    """One cell of the network: its kind, its width in units of the first cell's, and where sizes halve.

    With `previous_reduces` all inputs but the last have twice the side of the last, and are halved first.
    """

    kind: str
    multiplier: int
    reduces: bool
    previous_reduces: bool


class BlockPlan(NamedTuple):
    """A fixed module between cells, the same in every architecture: it maps the last state to a new one.

    `block` names the module, `multiplier` is the width of its output in units of the first cell's, `stride` 1 or 2.
    """

    block: str
    multiplier: int
    stride: int = 2


Plan = CellPlan | BlockPlan
Constructor = Callable[..., Any]
"""Makes a module: a primitive from (channels, stride, affine), a block from (channels_in, channels_out, stride,
affine). Typed loosely, since a space must be readable without torch."""


@dataclass(frozen=True)
class Space:
    """A search space: all that supernets, derived networks, weights, configurations and reports ask about it."""

    name: str
    """What configurations and genotypes call it."""
    primitives: tuple[str, ...]
    """The columns of alpha; `none` is a zero."""
    topology: Topology
    """The states and edges of a cell: the rows of alpha."""
    kinds: tuple[str, ...]
    """Kinds of cells; each has its own alpha."""
    skeleton: Callable[[int], tuple[Plan, ...]]
    """The cells and fixed blocks of a network of so many cells, from input to output."""
    discretize: Callable[[Mapping[str, Any]], Architecture]
    """The genotype kept of one array (edges, primitives) of softmax weights for each kind."""
    parse: Callable[[str], Architecture]
    """The genotype that a text tells; GenotypeError otherwise."""
    stem_multiplier: int = 3
    """Channels after the stem, in units of the first cell's."""
    preprocess: bool = True
    """Whether a cell brings its inputs to its width by ReLU, 1x1 convolution and batch norm; else they must have it."""
    pool_norm: bool = True
    """Whether a pool of the supernet is followed by batch norm (without affine parameters)."""
    head_norm: bool = False
    """Whether batch norm and ReLU stand between the last cell and the global average pool."""
    fewest_layers: int = 1
    """The smallest number of cells that a search makes sense with."""
    default_channels: int = 36
    """Channels of the first cells of a derived network, unless given."""
    default_layers: int = 20
    """Cells of a derived network, unless given."""
    auxiliary_after: Callable[[int], int] | None = None
    """The plan, by index, that the auxiliary head follows in a network of so many cells; None: it has no such head."""
    canonical: Callable[[Any], str] = text_of
    """A text that genotypes share where they are the same network in another order: how tables look them up."""
    distinct: int | None = None
    """How many genotypes have different canonical texts, where somebody has counted them."""
    operations: Mapping[str, Constructor] = field(default_factory=dict, hash=False)
    """Primitives of its own, by name, besides those of `advrush.space.operations`."""
    blocks: Mapping[str, Constructor] = field(default_factory=dict, hash=False)
    """Fixed blocks of its own, by name, besides those of `advrush.space.operations`."""

    def __deepcopy__(self, memo: Any) -> Space:
        """Return the space itself: it never changes, and networks that hold it are copied."""
        return self

    def plans(self, layers: int) -> tuple[Plan, ...]:
        """Return the skeleton of `layers` cells, its sizes checked.

        Raises ConfigError where a cell's `previous_reduces` does not agree with the sizes of the states that it reads.
        """
        plans = self.skeleton(layers)
        scales = [1] * self.topology.inputs
        for index, plan in enumerate(plans):
            if isinstance(plan, CellPlan):
                ratios = {scales[-1] / scale for scale in scales[-self.topology.inputs : -1]}
                halved = plan.previous_reduces
                check(
                    ratios <= ({2.0} if halved else {1.0}),
                    f"plan {index} of the space {self.name!r}",
                    plan,
                    "previous_reduces exactly where the earlier inputs have twice the side of the last one",
                )
            stride = plan.stride if isinstance(plan, BlockPlan) else 2 if plan.reduces else 1
            scales.append(scales[-1] * stride)
        return plans
