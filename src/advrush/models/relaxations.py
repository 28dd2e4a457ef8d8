"""Supernets that relax the choice of a primitive otherwise than by a plain softmax: GDAS and partial channels."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d, one_hot

from advrush.config import check
from advrush.models.supernet import Cell, MixedEdge, Supernet
from advrush.space.space import CellPlan, Space

HOT, COLD = 10.0, 0.1
"""Temperature of the Gumbel softmax at the beginning and at the end of a search (Dong and Yang, CVPR 2019)."""

PART = 4
"""One channel of so many goes through the primitives (Xu et al., ICLR 2020)."""


class GumbelSupernet(Supernet):
    """GDAS (Dong and Yang, CVPR 2019): each edge computes one primitive, drawn anew in each step.

    With Gumbel noise o and the temperature tau, `soft = softmax((log softmax(alpha) + o) / tau)`; the weights are the
    one-hot vector of its largest entry, with the derivative of `soft` (straight-through). Before a first draw, and in
    what records and genotypes read, they are softmax(alpha).
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.temperature = HOT
        self.noise: dict[str, Tensor] = {}

    def begin_step(self, progress: float, generator: torch.Generator) -> None:
        """Draw the noise of a step; the temperature falls linearly with the progress of the search, from 0 to 1."""
        self.temperature = HOT + (COLD - HOT) * progress
        for kind, alpha in self.alpha.items():
            drawn = torch.empty(alpha.shape, dtype=torch.float64).exponential_(generator=generator)
            self.noise[kind] = -drawn.log().to(alpha.device, alpha.dtype)

    def edge_weights(self) -> dict[str, Tensor]:
        """Return the drawn weights (edges, primitives) of each kind."""
        if not self.noise:
            return self.probabilities()
        found = {}
        for kind, alpha in self.alpha.items():
            soft = ((alpha.log_softmax(dim=-1) + self.noise[kind]) / self.temperature).softmax(dim=-1)
            hard = one_hot(soft.argmax(dim=-1), soft.shape[-1]).to(soft.dtype)
            found[kind] = (hard - soft.detach()) + soft
        return found


class PartialEdge(MixedEdge):
    """PC-DARTS (Xu et al., ICLR 2020): the weighted sum on a quarter of the channels, the others handed on as they are.

    Where the edge halves the image, the others are max-pooled (2 x 2). Afterwards the channels are shuffled, so that
    each quarter has its turn, and the whole is scaled by the edge's own weight, the last entry of `weights`.
    """

    whole = False

    def __init__(self, primitives: tuple[str, ...], channels: int, stride: int, **options: Any) -> None:
        super().__init__(primitives, channels // PART, stride, **options)
        self.stride = stride

    def forward(self, x: Tensor, weights: Tensor) -> Tensor:
        """Map x (N, C, H, W) with the weights (primitives + 1,) to (N, C, H', W')."""
        width = x.shape[1] // PART
        mixed = super().forward(x[:, :width], weights[:-1])
        rest = x[:, width:] if self.stride == 1 else max_pool2d(x[:, width:], 2, 2, ceil_mode=True)
        joined = torch.cat([mixed, rest], dim=1)
        groups: Tensor = joined.view(len(joined), PART, width, *joined.shape[2:]).transpose(1, 2)
        return weights[-1] * groups.flatten(1, 2)


class PartialSupernet(Supernet):
    """A supernet of partial channels, with a weight for each edge among those that enter its node.

    The architecture parameters are alpha and, as `KIND_edges`, beta (edges,); an edge's weight is the softmax of beta
    over the edges of its node, and a genotype is kept by the products of both. The fast passes do not apply.
    Raises ConfigError where 4 does not divide the channels.
    """

    def __init__(self, space: Space, *, channels: int = 16, **options: Any) -> None:
        check(channels % PART == 0, "channels", channels, f"a multiple of {PART} with the relaxation `partial`")
        super().__init__(space, channels=channels, **options)
        edges = len(space.topology.edges)
        self.beta = nn.ParameterDict({f"{kind}_edges": nn.Parameter(1e-3 * torch.randn(edges)) for kind in space.kinds})

    def _cell(self, plan: CellPlan, inputs: tuple[int, ...], channels: int) -> Cell:
        cell = super()._cell(plan, inputs, channels)
        cell.fast = False
        cell.edges = nn.ModuleList(
            PartialEdge(
                self.space.primitives, channels, self.space.topology.stride(source, plan.reduces),
                pool_norm=self.space.pool_norm, own=self.space.operations,
            )
            for source, _ in self.space.topology.edges
        )  # fmt: skip
        return cell

    def alphas(self) -> dict[str, nn.Parameter]:
        """Return alpha (edges, primitives) of each cell kind, and beta (edges,) of each as `KIND_edges`."""
        return {**super().alphas(), **dict(self.beta.items())}

    def edge_weights(self) -> dict[str, Tensor]:
        """Return softmax(alpha) with the weights of the edges as a last column: (edges, primitives + 1)."""
        return {
            kind: torch.cat([weights, self._of_edges(kind)[:, None]], dim=1)
            for kind, weights in super().probabilities().items()
        }

    def kept_by(self) -> dict[str, Tensor]:
        """Return softmax(alpha) times the weight of each edge."""
        return {kind: w * self._of_edges(kind)[:, None] for kind, w in self.probabilities().items()}

    def _of_edges(self, kind: str) -> Tensor:
        """Return the softmax of beta over the edges that enter each node (edges,)."""
        beta = cast(Tensor, self.beta[f"{kind}_edges"])
        targets = [target for _, target in self.space.topology.edges]
        weights: list[Tensor] = []
        for row, target in enumerate(targets):
            together = [other for other, same in enumerate(targets) if same == target]
            weights.append(beta[together].softmax(dim=0)[together.index(row)])
        return torch.stack(weights)


RELAXATIONS: dict[str, type[Supernet]] = {"softmax": Supernet, "gdas": GumbelSupernet, "partial": PartialSupernet}
"""The supernets by the name of their relaxation."""
