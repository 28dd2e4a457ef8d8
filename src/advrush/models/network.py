"""The network of a genotype: stem, a stack of cells, a linear classifier (DARTS)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from advrush.config import check
from advrush.kernels.batch_norm import normalize
from advrush.models.activation_checkpointing import recomputed
from advrush.models.auxiliary import AuxiliaryHead
from advrush.models.cell import Cell, quick_kernels_apply
from advrush.space.darts import skeleton
from advrush.space.genotype import Architecture, CellGraph


class Network(nn.Module):
    """A derived network: (N, in_channels, image_size, image_size) to logits (N, num_classes).

    `genotype` gives one cell per kind, or is a sequence of `layers` graphs, one per cell. `forward` always
    returns one tensor; `forward_with_auxiliary` adds the logits of the auxiliary head, which sits after the
    second reduction. `drop_path` may be set at any time and acts in training mode; identities are exempt.
    Raises ConfigError for a size that does not fit.
    """

    def __init__(
        self,
        genotype: Architecture | Sequence[CellGraph],
        channels: int = 36,
        layers: int = 20,
        *,
        num_classes: int = 10,
        image_size: int = 32,
        in_channels: int = 3,
        auxiliary: bool = False,
        drop_path: float = 0.0,
        affine: bool = True,
    ) -> None:
        super().__init__()
        check(channels >= 1, "channels", channels, "at least 1")
        check(num_classes >= 2, "num_classes", num_classes, "at least 2")
        check(image_size >= 1, "image_size", image_size, "at least 1")
        self.drop_path = drop_path
        self.recompute = False
        """Whether training keeps the cells' inputs alone and computes the rest again in the backward pass."""
        plans = skeleton(layers)
        graphs = _per_layer(genotype, [plan.kind for plan in plans])
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, 3 * channels, 3, padding=1, bias=False), nn.BatchNorm2d(3 * channels)
        )
        self.cells = nn.ModuleList()
        previous, side = (3 * channels, 3 * channels), image_size
        self._auxiliary_after = 2 * layers // 3
        self.auxiliary_head: AuxiliaryHead | None = None
        for index, (graph, plan) in enumerate(zip(graphs, plans, strict=True)):
            cell = Cell(graph, plan, previous, channels=channels * plan.multiplier, affine=affine)
            self.cells.append(cell)
            previous = (previous[1], cell.channels_out)
            side = (side + 1) // 2 if plan.reduces else side
            if auxiliary and index == self._auxiliary_after:
                self.auxiliary_head = AuxiliaryHead(cell.channels_out, num_classes, side)
        self.global_pooling = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(previous[1], num_classes)

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
        if quick_kernels_apply(x):  # the layout that they are quick in; it carries through every layer
            x = x.contiguous(memory_format=torch.channels_last)
            convolution, norm = self.stem
            assert isinstance(norm, nn.BatchNorm2d)
            s0 = s1 = middle = normalize(norm, convolution(x))
        else:
            s0 = s1 = middle = self.stem(x)
        again = self.recompute and self.training and torch.is_grad_enabled()
        for index, cell in enumerate(self.cells):
            s0, s1 = s1, recomputed(cell, s0, s1, self._drop_path) if again else cell(s0, s1, self._drop_path)
            if index == self._auxiliary_after:
                middle = s1
        return self.classifier(self.global_pooling(s1).flatten(1)), middle


def _per_layer(genotype: Architecture | Sequence[CellGraph], kinds: list[str]) -> list[CellGraph]:
    if isinstance(genotype, Sequence):
        check(len(genotype) == len(kinds), "layers", len(kinds), f"{len(genotype)}, one for each graph")
        return list(genotype)
    cells = genotype.cells()
    return [cells[kind] for kind in kinds]
