"""The network of a genotype: stem, the cells and fixed blocks that its space plans, a linear classifier."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from advrush.config import MOST_CELLS, MOST_CHANNELS, check, check_between
from advrush.kernels.batch_norm import normalize
from advrush.models.activation_checkpointing import recomputed
from advrush.models.auxiliary import AuxiliaryHead
from advrush.models.cell import Cell, fused_path_applies
from advrush.models.fused.cell import run_block
from advrush.models.stack import stack
from advrush.space import DARTS, Space, space_named
from advrush.space.genotype import Architecture, CellGraph
from advrush.space.space import BlockPlan, CellPlan


class Network(nn.Module):
    """A derived network: (N, in_channels, image_size, image_size) to logits (N, num_classes).

    `genotype` gives one cell per kind, or is a sequence of `layers` graphs of the DARTS space, one per cell.
    `channels` and `layers` default to those of the genotype's space (DARTS: 36 and 20). `forward` always
    returns one tensor; `forward_with_auxiliary` adds the logits of the auxiliary head, which sits where the space has
    it (DARTS: after the second reduction). `drop_path` may be set at any time and acts in training mode; identities are
    exempt. Raises ConfigError for a size that does not fit, or an auxiliary head that the space has no place for.
    """

    def __init__(
        self,
        genotype: Architecture | Sequence[CellGraph],
        channels: int | None = None,
        layers: int | None = None,
        *,
        num_classes: int = 10,
        image_size: int = 32,
        in_channels: int = 3,
        auxiliary: bool = False,
        drop_path: float = 0.0,
        affine: bool = True,
    ) -> None:
        super().__init__()
        space = DARTS if isinstance(genotype, Sequence) else space_named(genotype.space)
        channels = space.default_channels if channels is None else channels
        layers = space.default_layers if layers is None else layers
        check_between("layers", layers, MOST_CELLS)
        check_between("channels", channels, MOST_CHANNELS)
        check(num_classes >= 2, "num_classes", num_classes, "at least 2")
        check(image_size >= 1, "image_size", image_size, "at least 1")
        self.space, self.drop_path = space, drop_path
        self.recompute = False
        """Whether training keeps the cells' inputs alone and computes the rest again in the backward pass."""
        graphs = iter(_per_layer(genotype, [p.kind for p in space.plans(layers) if isinstance(p, CellPlan)]))
        width = space.stem_multiplier * channels
        self.stem = nn.Sequential(nn.Conv2d(in_channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))

        def cell(plan: CellPlan, previous: tuple[int, ...], own: int) -> Cell:
            return Cell(next(graphs), plan, previous, channels=own, affine=affine, space=space)

        self.cells, widths = stack(space, channels, layers, cell, affine=affine)
        self.auxiliary_head: AuxiliaryHead | None = None
        self._auxiliary_after = -1 if space.auxiliary_after is None else space.auxiliary_after(layers)
        if auxiliary:
            check(space.auxiliary_after is not None, f"auxiliary of the space {space.name!r}", True, "False")
            side = _side_after(space, layers, self._auxiliary_after, image_size)
            self.auxiliary_head = AuxiliaryHead(widths[self._auxiliary_after], num_classes, side)
        self.lastact = nn.Sequential(nn.BatchNorm2d(widths[-1]), nn.ReLU()) if space.head_norm else None
        self.global_pooling = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(widths[-1], num_classes)

    @property
    def drop_path(self) -> float:
        """The probability, from 0 to below 1, that a path of a cell is dropped for an example in training."""
        return self._drop_path

    @drop_path.setter
    def drop_path(self, probability: float) -> None:
        check(0 <= probability < 1, "drop_path", probability, "from 0 to below 1")
        self._drop_path = float(probability)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits; the auxiliary head is not computed."""
        return self._run(x)[0]

    def forward_with_auxiliary(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits and those of the auxiliary head. Raises ConfigError where there is none."""
        check(self.auxiliary_head is not None, "auxiliary", False, "a network built with auxiliary=True")
        logits, middle = self._run(x)
        assert self.auxiliary_head is not None
        return logits, self.auxiliary_head(middle)

    def _run(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits and the map after the second reduction."""
        fused = fused_path_applies(x)
        if fused:  # the layout in which the kernels are fast; it carries through every layer
            x = x.contiguous(memory_format=torch.channels_last)
            convolution, norm = self.stem
            assert isinstance(norm, nn.BatchNorm2d)
            middle = normalize(norm, convolution(x))
        else:
            middle = self.stem(x)
        states = (middle,) * self.space.topology.inputs
        again = self.recompute and self.training and torch.is_grad_enabled()
        for index, module in enumerate(self.cells):
            if not isinstance(module, Cell):
                y = run_block(module, states[-1]) if fused else module(states[-1])
            elif again:
                y = recomputed(module, *states, drop_path=self._drop_path)
            else:
                y = module(*states, drop_path=self._drop_path)
            states = (*states[1:], y)
            if index == self._auxiliary_after:
                middle = y
        features = states[-1] if self.lastact is None else self.lastact(states[-1])
        return self.classifier(self.global_pooling(features).flatten(1)), middle


def _side_after(space: Space, layers: int, index: int, side: int) -> int:
    """Return the side of the map that plan number `index` puts out."""
    for plan in space.plans(layers)[: index + 1]:
        halves = plan.stride > 1 if isinstance(plan, BlockPlan) else plan.reduces
        side = (side + 1) // 2 if halves else side
    return side


def _per_layer(genotype: Architecture | Sequence[CellGraph], kinds: list[str]) -> list[CellGraph]:
    if isinstance(genotype, Sequence):
        check(len(genotype) == len(kinds), "layers", len(kinds), f"{len(genotype)}, one for each graph")
        return list(genotype)
    cells = genotype.cells()
    return [cells[kind] for kind in kinds]
