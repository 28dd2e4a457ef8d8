"""A graph of convolutions with fixed weights as one call of compiled kernels, forward and backward for its inputs.

A few images go through all layers before the next ones begin, so that their maps stay in the cache and Python calls
once. 3x3 convolutions of stride 1 go by Winograd's algorithm where that gains (`winograd`), others as one product of
patches with a matrix. Sums and ReLUs are part of the convolution before them. Of each ReLU a bit for each number is
kept for the backward pass.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from advrush.kernels import native
from advrush.kernels.conv_layers import Layer, Row, Size
from advrush.kernels.separable_conv import empty_map

CACHE = 512 << 10
"""Bytes that the maps of the images that go through together may take."""


class _Plan(NamedTuple):
    """A graph as the kernels take it, for given maps of some sizes."""

    packed: bytes
    outputs: tuple[Size, ...]
    masks: int
    """How many numbers of 16 bits the masks of an image take."""
    rows: list[Row]
    """Kept alive: `packed` holds the addresses of their weights."""


class ConvGraph:
    """Convolutions that read given maps or each other, with the weights that they are made with."""

    def __init__(self, layers: Sequence[Layer], given: int, outputs: Sequence[int]) -> None:
        """Take the layers in an order in which each reads earlier states.

        Args:
            layers: at least one that has weights.
            given: how many maps the graph is called with.
            outputs: the states that it returns, each made by a layer.
        """
        assert all(given <= k < given + len(layers) for k in outputs)
        self.layers, self.given, self.outputs = tuple(layers), given, tuple(outputs)
        self.dtype = next(layer.dtype for layer in layers if layer.dtype is not None)
        self._plans: dict[tuple[Size, ...], _Plan] = {}

    def __reduce__(self) -> tuple[type[ConvGraph], tuple[object, ...]]:
        """Copy layers alone: plans hold the addresses of weights."""
        return ConvGraph, (self.layers, self.given, self.outputs)

    def applies(self, *given: Tensor) -> bool:
        """Return whether the kernels take these maps (N, C, H, W): on a CPU, channels last, no autocast."""
        if len(given) != self.given or any(x.dim() != 4 or x.dtype != self.dtype or not x.numel() for x in given):
            return False
        if len({len(x) for x in given}) > 1 or not native.applies(*given) or torch.is_autocast_enabled("cpu"):
            return False
        sizes = tuple(_size(x) for x in given)
        return sizes in self._plans or self._sizes(sizes) is not None

    def __call__(self, *given: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs, maps (N, C, H, W) in channels last; differentiable once, for the given maps."""
        if torch.is_grad_enabled() and any(x.requires_grad for x in given):
            return _Convolutions.apply(self, *given)  # type: ignore[no-any-return, no-untyped-call]
        return self.forward(given, masks=False)[0]

    def forward(self, given: Sequence[Tensor], *, masks: bool) -> tuple[tuple[Tensor, ...], Tensor | None]:
        """Return the outputs without a graph, and what `backward` needs of the ReLUs, where `masks`."""
        plan, n = self._plan(tuple(_size(x) for x in given)), len(given[0])
        maps = tuple(empty_map(given[0], *size) for size in plan.outputs)
        kept = torch.empty(n * plan.masks, dtype=torch.int16) if masks else None
        where = native.addresses(given), native.addresses(maps)
        native.call("conv_graph_forward", self.dtype, plan.packed, n, *where, kept)
        return maps, kept

    def backward(
        self, sizes: tuple[Size, ...], dy: Sequence[Tensor], masks: Tensor, wanted: Sequence[bool]
    ) -> list[Tensor | None]:
        """Return the gradients of the sum of <dy, output> for given maps of these sizes, None where not wanted."""
        dy = [native.laid_out(each) for each in dy]
        dx = [empty_map(dy[0], *size) if want else None for size, want in zip(sizes, wanted, strict=True)]
        where = native.addresses(dy), masks, native.addresses(dx)
        native.call("conv_graph_backward", self.dtype, self._plan(sizes).packed, len(dy[0]), *where)
        return dx

    def plainly(self, *given: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs by torch's own operations, for maps that the kernels do not take."""
        states = list(given)
        for layer in self.layers:
            states.append(layer.plainly(states))
        return tuple(states[k] for k in self.outputs)

    def _sizes(self, sizes: Sequence[Size]) -> list[Size] | None:
        """Return the size of each state; None where the maps do not fit the layers."""
        states = list(sizes)
        for layer in self.layers:
            size = layer.size(states)
            if size is None:
                return None
            states.append(size)
        return states

    def _plan(self, sizes: tuple[Size, ...]) -> _Plan:
        if sizes not in self._plans:
            states = self._sizes(sizes)
            assert states is not None, "`applies` was asked first"
            self._plans[sizes] = self._planned(states)
        return self._plans[sizes]

    def _planned(self, states: list[Size]) -> _Plan:
        lives = self._lives(len(states))
        scratch = [k >= self.given and k not in self.outputs for k in range(len(states))]
        forward, forward_size = _places(states, lives, scratch)
        # a cotangent lives from the last reader of its state back to the layer that made it
        back, back_size = _places(states, lives, [k >= self.given for k in range(len(states))])
        rows = [layer.row(states[layer.source]) for layer in self.layers]
        together = self._together(states[self.given :], rows, max(forward_size, back_size))
        numbers = [len(states), self.given, len(rows), len(self.outputs), forward_size, back_size, together]
        for k, size in enumerate(states):
            output = self.outputs.index(k) if k in self.outputs else -1
            numbers += [*size, forward[k], back[k], output]
        for layer, row in zip(self.layers, rows, strict=True):
            numbers += row.numbers(layer.source, layer.residual, layer.relu)
        packed, masks = struct.pack(f"={len(numbers)}q", *numbers), torch.empty(1, dtype=torch.int64)
        native.call("conv_graph_masks", self.dtype, packed, masks)
        return _Plan(packed, tuple(states[k] for k in self.outputs), int(masks), rows)

    def _together(self, made: Sequence[Size], rows: Sequence[Row], scratch: int) -> int:
        """Return how many images go through together: as many as the cache holds, or more where weights are large.

        All weights are read once for each group, all maps are written and read once for each image: in groups of w / m
        images, for w numbers of weights and m of maps, neither takes longer than the other.
        """
        weights = sum(row.weight.numel() for row in rows if row.weight is not None)
        maps = 2 * sum(_numbers(size) for size in made)
        return max(1, CACHE // (self.dtype.itemsize * max(scratch, 1)), weights // maps)

    def _lives(self, states: int) -> list[tuple[int, int]]:
        """Return the layers between which each state is needed, both included."""
        lives = []
        for k in range(states):
            readers = [i for i, layer in enumerate(self.layers) if k in (layer.source, layer.residual)]
            last = len(self.layers) if k in self.outputs else max(readers, default=k - self.given)
            lives.append((k - self.given, last))
        return lives


def _size(x: Tensor) -> Size:
    return x.shape[1], x.shape[2], x.shape[3]


def _places(
    sizes: Sequence[Size], lives: Sequence[tuple[int, int]], in_scratch: Sequence[bool]
) -> tuple[list[int], int]:
    """Return where each map begins in memory that maps share one after another, and the size of that memory.

    Counted in numbers of one image, multiples of 16; maps that live at the same time do not overlap.
    """
    begins, total = [0] * len(sizes), 0
    placed: list[int] = []
    for k in sorted((k for k, wanted in enumerate(in_scratch) if wanted), key=lambda k: -_numbers(sizes[k])):
        taken = sorted(
            (begins[other], begins[other] + _numbers(sizes[other]))
            for other in placed
            if lives[other][0] <= lives[k][1] and lives[k][0] <= lives[other][1]
        )
        at = 0
        for begin, end in taken:
            if at + _numbers(sizes[k]) <= begin:
                break
            at = max(at, end)
        begins[k] = at
        placed.append(k)
        total = max(total, at + _numbers(sizes[k]))
    return begins, total


def _numbers(size: Size) -> int:
    channels, height, width = size
    return -(-channels * height * width // 16) * 16


class _Convolutions(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, graph: ConvGraph, *given: Tensor) -> tuple[Tensor, ...]:
        maps, ctx.masks = graph.forward(given, masks=True)
        ctx.graph, ctx.sizes = graph, tuple(_size(x) for x in given)
        return maps

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *dy: Tensor) -> tuple[Tensor | None, ...]:
        return None, *ctx.graph.backward(ctx.sizes, dy, ctx.masks, ctx.needs_input_grad[1:])
