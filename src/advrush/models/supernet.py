"""The supernet: every edge of every cell is a softmax-weighted sum of all primitives (Eq. 7)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn

from advrush.kernels.batch_norm import normalize
from advrush.models.fused.cell import mixed_cell, run_block
from advrush.models.stack import stack
from advrush.space.genotype import Architecture
from advrush.space.operations import FactorizedReduce, ReLUConvBN, operation
from advrush.space.space import CellPlan, Constructor, Space


class MixedEdge(nn.Module):
    """The weighted sum of the primitives between two nodes; `none` is a zero and never computed."""

    whole = True
    """Whether it is that sum and nothing else, as the fast passes take it to be."""

    def __init__(
        self,
        primitives: tuple[str, ...],
        channels: int,
        stride: int,
        *,
        pool_norm: bool = True,
        own: Mapping[str, Constructor] | None = None,
    ) -> None:
        super().__init__()
        self.columns = tuple(i for i, name in enumerate(primitives) if name != "none")
        self.operations = nn.ModuleList(
            operation(primitives[i], channels, stride, affine=False, pool_norm=pool_norm, own=own) for i in self.columns
        )

    def primitives(self) -> dict[int, nn.Module]:
        """Return the modules of this edge by their column in the matrix of weights."""
        return dict(zip(self.columns, self.operations, strict=True))

    def forward(self, x: Tensor, weights: Tensor) -> Tensor:
        """Map x (N, C, H, W) with the softmax weights (primitives,) of this edge to (N, C, H', W')."""
        terms = (weights[i] * operation(x) for i, operation in zip(self.columns, self.operations, strict=True))
        total: Tensor = next(terms)
        for term in terms:
            total = total + term
        return total


class Cell(nn.Module):
    """A cell of the supernet: inputs brought to its width, then the edges of the topology, then the outputs joined.

    With `fast` the same map comes from `mixed_cell`, which computes once what edges have in common.
    """

    def __init__(self, space: Space, plan: CellPlan, inputs: tuple[int, ...], channels: int) -> None:
        super().__init__()
        self.kind, self.topology = plan.kind, space.topology
        self.fast = True
        self.channels_out = channels * len(space.topology.outputs)
        self.preprocess = nn.ModuleList(
            nn.Identity()
            if not space.preprocess
            else FactorizedReduce(width, channels, affine=False)
            if plan.previous_reduces and i + 1 < len(inputs)
            else ReLUConvBN(width, channels, affine=False)
            for i, width in enumerate(inputs)
        )
        self.edges = nn.ModuleList(
            MixedEdge(
                space.primitives,
                channels,
                space.topology.stride(source, plan.reduces),
                pool_norm=space.pool_norm,
                own=space.operations,
            )
            for source, _ in space.topology.edges
        )

    def forward(self, inputs: tuple[Tensor, ...], weights: Tensor) -> Tensor:
        """Map the inputs with weights (edges, primitives) to the joined output nodes."""
        if self.fast:
            return mixed_cell(self.preprocess, self.topology, self.primitives(), inputs=inputs, weights=weights)
        nodes = [preprocess(x) for preprocess, x in zip(self.preprocess, inputs, strict=True)]
        rows = zip(self.topology.edges, self.edges, weights, strict=True)
        for (source, target), edge, row in rows:
            term = edge(nodes[source], row)
            if target == len(nodes):
                nodes.append(term)
            else:
                nodes[target] = nodes[target] + term
        return torch.cat([nodes[i] for i in self.topology.outputs], dim=1)

    def primitives(self) -> list[dict[int, nn.Module]]:
        """Return the modules of each edge by their column in the matrix of weights."""
        return [cast(MixedEdge, edge).primitives() for edge in self.edges]


class Supernet(nn.Module):
    """Stem, cells and fixed blocks, global average pool and linear head, with one alpha for each cell kind.

    Takes normalized inputs (N, in_channels, H, W), returns logits (N, num_classes). The alphas (edges, primitives) are
    parameters and part of the state dict; the cells' BN has no affine parameters. With `fast=False` every primitive of
    every edge runs by itself: slower, the reference that tests compare with.
    """

    def __init__(
        self,
        space: Space,
        *,
        channels: int = 16,
        layers: int = 8,
        num_classes: int = 10,
        in_channels: int = 3,
        fast: bool = True,
    ) -> None:
        super().__init__()
        self.space, self.fast = space, fast
        width = channels * space.stem_multiplier
        self.stem = nn.Sequential(nn.Conv2d(in_channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))
        self.cells, widths = stack(space, channels, layers, self._cell, affine=False)
        self.lastact = nn.Sequential(nn.BatchNorm2d(widths[-1]), nn.ReLU()) if space.head_norm else None
        self.classifier = nn.Linear(widths[-1], num_classes)
        shape = (len(space.topology.edges), len(space.primitives))
        self.alpha = nn.ParameterDict({kind: nn.Parameter(1e-3 * torch.randn(shape)) for kind in space.kinds})

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (N, num_classes)."""
        weights = self.edge_weights()
        if self.fast:  # the layout in which depthwise kernels are quick; it carries through every layer
            x = x.contiguous(memory_format=torch.channels_last)
        convolution, norm = self.stem
        assert isinstance(norm, nn.BatchNorm2d)
        x = convolution(x)
        states = (normalize(norm, x) if self.fast else norm(x),) * self.space.topology.inputs
        for module in self.cells:
            if isinstance(module, Cell):
                y = module(states, weights[module.kind])
            else:
                y = run_block(module, states[-1]) if self.fast else module(states[-1])
            states = (*states[1:], y)
        features = states[-1] if self.lastact is None else self.lastact(states[-1])
        logits: Tensor = self.classifier(features.mean(dim=(2, 3)))
        return logits

    def _cell(self, plan: CellPlan, inputs: tuple[int, ...], channels: int) -> Cell:
        cell = Cell(self.space, plan, inputs, channels)
        cell.fast = self.fast
        return cell

    def alphas(self) -> dict[str, nn.Parameter]:
        """Return the architecture parameters (edges, primitives) of each cell kind."""
        return dict(self.alpha.items())

    def weights(self) -> list[nn.Parameter]:
        """Return every parameter that is not an alpha."""
        alphas = {id(alpha) for alpha in self.alphas().values()}
        return [parameter for parameter in self.parameters() if id(parameter) not in alphas]

    def probabilities(self) -> dict[str, Tensor]:
        """Return softmax(alpha) over the primitives of each edge."""
        return {kind: alpha.softmax(dim=-1) for kind, alpha in self.alpha.items()}

    def begin_step(self, progress: float, generator: torch.Generator) -> None:
        """Prepare a step of a search that has come to `progress`, from 0 to 1: nothing here; see `relaxations`."""

    def edge_weights(self) -> dict[str, Tensor]:
        """Return what the edges compute with (edges, primitives): softmax(alpha), unless relaxed otherwise."""
        return self.probabilities()

    def kept_by(self) -> dict[str, Tensor]:
        """Return the weights (edges, primitives) by which a genotype is kept."""
        return self.probabilities()

    def genotype(self) -> Architecture:
        """Return the genotype that the space's rule keeps of the present alphas."""
        return self.space.discretize({kind: w.detach().double().tolist() for kind, w in self.kept_by().items()})

    def entropies(self) -> dict[str, float]:
        """Return the mean entropy of softmax(alpha) over the edges, in nats; log(primitives) where undecided."""
        return {
            kind: -(w.detach() * w.detach().clamp_min(1e-30).log()).sum(dim=-1).mean().item()
            for kind, w in self.probabilities().items()
        }
