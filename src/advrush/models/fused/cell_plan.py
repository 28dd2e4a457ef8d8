"""Read the terms of a cell as what the compiled kernels of kernels/cell.py compute."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor, nn

from advrush.kernels.cell import Feature, FeatureKind, Program, Term
from advrush.kernels.separable_chain import Link, Norm, as_dense
from advrush.kernels.separable_conv import StageShape, no_filters

Size = tuple[int, int, int]
"""Channels, height, width."""


class Part(NamedTuple):
    """A stage of a term; tensors by their index in `Plan.parameters`."""

    shape: StageShape
    depthwise: int | None
    pointwise: tuple[int, ...]
    """Empty: a batch norm alone; two: those of the halves of a factorized reduce."""
    scale: int | None
    shift: int | None
    norm: nn.BatchNorm2d
    running: tuple[Tensor | None, Tensor | None, Tensor | None]
    """Its running mean and variance, and how many batches they have seen."""

    def link(self, parameters: Sequence[Tensor], z: Tensor | None, found: Tensor, *, moved: bool) -> Link:
        """Return the stage as the kernels take it; `moved`: with its running statistics."""
        norm, running = self.norm, self.running if moved else (None, None, None)
        scale = None if self.scale is None else parameters[self.scale]
        shift = None if self.shift is None else parameters[self.shift]
        matrix = _matrix([parameters[i] for i in self.pointwise], norm.num_features, found)
        if self.depthwise is None:
            filters = no_filters(matrix.shape[1], matrix.dtype)
        else:
            filters = as_dense(parameters[self.depthwise])
        return Link(self.shape, filters, matrix, Norm(scale, shift, *running, norm.eps, norm.momentum or 0.0), z, found)


def _matrix(weights: Sequence[Tensor], channels: int, found: Tensor) -> Tensor:
    """Return the pointwise convolution of a stage; of two halves, that of their channels side by side."""
    if len(weights) == 1:
        return as_dense(weights[0])
    if not weights:
        return found.new_empty(channels, 0, 1, 1)
    first, second = (weight.detach().flatten(1) for weight in weights)
    whole = first.new_zeros(len(first) + len(second), first.shape[1] + second.shape[1], 1, 1)
    whole[: len(first), : first.shape[1], 0, 0] = first
    whole[len(first) :, first.shape[1] :, 0, 0] = second
    return whole


def split_matrix(matrix: Tensor, weights: Sequence[Tensor], gradients: Sequence[Tensor | None]) -> None:
    """Write the gradient of `_matrix` of two weights to the gradients of those that want it."""
    rows, columns = weights[0].shape[:2]
    for gradient, part in zip(gradients, (matrix[:rows, :columns], matrix[rows:, columns:]), strict=True):
        if gradient is not None:
            gradient.copy_(part)


@dataclass(eq=False)
class Plan:
    """A cell as a program of the kernels, with the parameters that it needs."""

    outputs: tuple[int, ...]
    sizes: list[Size | None]
    """Of the maps: the states, inputs first, then features; None until something is added to a state."""
    features: list[Feature] = field(default_factory=list)
    terms: list[Term] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)
    """Of the terms, one after the other."""
    stage_sizes: list[Size] = field(default_factory=list)
    """Of the output of each part that has a pointwise convolution."""
    parameters: list[Tensor] = field(default_factory=list)

    @property
    def program(self) -> Program:
        """Return what the kernels compute."""
        return Program(self.features, self.terms)

    @property
    def map_sizes(self) -> list[Size]:
        """Return the sizes of all maps once all are known."""
        return [size for size in self.sizes if size is not None]

    def empty_statistics(self, x: Tensor) -> Tensor:
        """Return room for what each part finds of its batch (parts, 3, the most channels), float64."""
        most = max((part.norm.num_features for part in self.parts), default=0)
        return x.new_empty(len(self.parts), 3, most, dtype=torch.float64)

    def feature(self, kind: FeatureKind, stride: int, source: int) -> int:
        """Return the index of the map of a feature, which is entered where it is new."""
        for each in self.features:
            if (each.kind, each.source, each.stride) == (kind, source, stride):
                return each.map
        size = self.sizes[source]
        assert size is not None
        channels, height, width = size
        factor = 2 if kind is FeatureKind.HALVES else 1
        self.sizes.append((factor * channels, -(-height // stride), -(-width // stride)))
        self.features.append(Feature(kind, source, len(self.sizes) - 1, stride))
        return len(self.sizes) - 1

    def parameter(self, value: Tensor) -> int:
        """Enter a parameter and return its index."""
        self.parameters.append(value)
        return len(self.parameters) - 1
