"""A graph of convolutions with fixed weights as one call of compiled kernels, forward and backward for its inputs.

A few images go through all layers before the next ones begin, so that their maps stay in the cache and Python calls
once. 3x3 convolutions of stride 1 go by Winograd's algorithm where that gains (`winograd`), others as one product of
patches with a matrix. Sums and ReLUs are part of the convolution before them. Of each ReLU a bit for each number is
kept for the backward pass.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import adaptive_avg_pool2d, avg_pool2d, batch_norm, conv2d

from advrush.kernels import native
from advrush.kernels.separable_conv import empty_map
from advrush.kernels.winograd import Outputs, gains, outputs_of, padded, transformed

Size = tuple[int, int, int]
LARGEST, LARGEST_POINTWISE = 1 << 17, 1 << 13
"""Weights of the largest direct convolutions that are given to the kernels: any, and 1x1 of stride 1."""
FEW = 4
"""Most channels of images."""
NORM, POOL, DIRECT = -2, -1, 0
CACHE = 512 << 10
"""Bytes that the maps of the images that go through together may take."""


@dataclass(frozen=True, eq=False)
class Convolution:
    """One convolution: `y = source * weight + bias + residual`, rectified on request.

    Square filters, borders and strides, no groups, no dilation.
    """

    weight: Tensor
    """(C', C, k, k)."""
    bias: Tensor | None
    """(C',)."""
    stride: int
    padding: int
    source: int
    """The state that is convolved: given maps are states 0 to g - 1, layer i makes state g + i."""
    residual: int | None = None
    """The state that is added."""
    relu: bool = False

    @property
    def dtype(self) -> torch.dtype:
        """Return the weights' type."""
        return self.weight.dtype

    @property
    def may_use_tiles(self) -> bool:
        """Return whether Winograd's algorithm gains."""
        cout, c, k, _ = self.weight.shape
        return k == 3 and self.stride == self.padding == 1 and gains(cout, c)


@dataclass(frozen=True, eq=False)
class Norm:
    """A batch norm with fixed statistics, rectified on request."""

    mean: Tensor
    """(C,)."""
    variance: Tensor
    """(C,)."""
    weight: Tensor | None
    """(C,)."""
    bias: Tensor | None
    """(C,)."""
    eps: float
    source: int
    relu: bool = False

    residual = None

    @property
    def dtype(self) -> torch.dtype:
        """Return the statistics' type."""
        return self.mean.dtype

    def affine(self) -> tuple[Tensor, Tensor]:
        """Return scale and shift (C,) of each channel."""
        scale = (self.variance.detach().double() + self.eps).rsqrt()
        scale = scale if self.weight is None else scale * self.weight.detach()
        shift = -self.mean.detach() * scale
        shift = shift if self.bias is None else shift + self.bias.detach()
        return scale.to(self.dtype), shift.to(self.dtype)

    def plainly(self, x: Tensor) -> Tensor:
        """Return the same by torch's own operations."""
        y = batch_norm(x, self.mean, self.variance, self.weight, self.bias, eps=self.eps)
        return torch.relu(y) if self.relu else y


@dataclass(frozen=True)
class Pool:
    """Averages over windows that do not overlap."""

    source: int
    window: int | None = None
    """Side of a window, at least 1; None with `side`."""
    side: int | None = None
    """Side of the output, at least 1, which divides the input's; None with `window`."""

    residual = None
    relu = False

    def window_for(self, size: Size) -> int | None:
        """Return the side of a window on a map of this size, None where windows do not fit."""
        _, height, width = size
        window = self.window or height // (self.side or 1)
        fits = window > 0 and height % window == 0 and width % window == 0
        return window if fits and (self.window or width // window == self.side) else None

    def plainly(self, x: Tensor) -> Tensor:
        """Return the averages by torch's own operations."""
        return avg_pool2d(x, self.window) if self.window else adaptive_avg_pool2d(x, self.side or 1)


def is_quick(weight: Tensor, stride: int, padding: int) -> bool:
    """Return whether the kernels are about as quick as the library's convolution with this weight (C', C, k, k).

    The library blocks large products for the caches. Its own gradient for images of few channels is slow.
    """
    _, c, k, _ = weight.shape
    if stride == 1 and c > FEW:
        return weight.numel() <= LARGEST_POINTWISE if k == 1 else Convolution(weight, None, 1, padding, 0).may_use_tiles
    return weight.numel() <= LARGEST


Layer = Convolution | Norm | Pool


class _Plan(NamedTuple):
    """A graph as the kernels take it, for given maps of some sizes."""

    packed: bytes
    outputs: tuple[Size, ...]
    masks: int
    """How many numbers of 16 bits the masks of an image take."""
    weights: list[Tensor]
    """Kept alive: `packed` holds their addresses."""


class ConvGraph:
    """Convolutions that read given maps or each other, with the weights that they are made with."""

    def __init__(self, layers: Sequence[Layer], given: int, outputs: Sequence[int]) -> None:
        """Take the layers in an order in which each reads earlier states.

        Args:
            layers: at least one of them no pool.
            given: how many maps the graph is called with.
            outputs: the states that it returns, each made by a layer.
        """
        assert layers and all(given <= k < given + len(layers) for k in outputs)
        self.layers, self.given, self.outputs = tuple(layers), given, tuple(outputs)
        self.dtype = next(layer.dtype for layer in layers if not isinstance(layer, Pool))
        self._plans: dict[tuple[Size, ...], _Plan] = {}
        self._prepared: dict[tuple[int, Outputs | None, bool], Tensor] = {}

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
            if not isinstance(layer, Convolution):
                states.append(layer.plainly(states[layer.source]))
                continue
            y = conv2d(states[layer.source], layer.weight, layer.bias, layer.stride, layer.padding)
            y = y if layer.residual is None else y + states[layer.residual]
            states.append(torch.relu(y) if layer.relu else y)
        return tuple(states[k] for k in self.outputs)

    def _sizes(self, sizes: Sequence[Size]) -> list[Size] | None:
        """Return the size of each state; None where the maps do not fit the layers."""
        states = list(sizes)
        for layer in self.layers:
            if isinstance(layer, Norm):
                states.append(states[layer.source])
                if len(layer.mean) != states[-1][0]:
                    return None
                continue
            if isinstance(layer, Pool):
                channels, height, width = states[layer.source]
                window = layer.window_for(states[layer.source])
                if window is None:
                    return None
                states.append((channels, height // window, width // window))
                continue
            (cout, c, k, _), (channels, *sides) = layer.weight.shape, states[layer.source]
            height, width = ((side + 2 * layer.padding - k) // layer.stride + 1 for side in sides)
            states.append((cout, height, width))
            if channels != c or min(height, width) < 1:
                return None
            if layer.residual is not None and states[layer.residual] != states[-1]:
                return None
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
        numbers = [len(states), self.given, len(self.layers), len(self.outputs), forward_size, back_size]
        numbers += [self._together(states, max(forward_size, back_size))]
        for k, size in enumerate(states):
            output = self.outputs.index(k) if k in self.outputs else -1
            numbers += [*size, forward[k], back[k], output]
        weights: list[Tensor] = []
        for i, layer in enumerate(self.layers):
            if isinstance(layer, Pool):
                window = layer.window_for(states[layer.source]) or 0
                numbers += [layer.source, -1, POOL, window, window, *[0] * 7]
                continue
            if isinstance(layer, Norm):
                both = [padded(each) for each in layer.affine()]
                numbers += [layer.source, -1, NORM, *[0] * 3, int(layer.relu), 0, 0]
                numbers += [both[0].data_ptr(), 0, both[1].data_ptr()]
                weights += both
                continue
            tile: Outputs | None = outputs_of(*states[layer.source][1:]) if layer.may_use_tiles else None
            own = [self._weight(i, layer, tile, backward=False), self._weight(i, layer, tile, backward=True)]
            bias = None if layer.bias is None else padded(layer.bias.detach())
            residual = -1 if layer.residual is None else layer.residual
            shape = layer.weight.shape[-1], layer.stride, layer.padding
            numbers += [layer.source, residual, tile or DIRECT, *shape, int(layer.relu)]
            numbers += [*(each.shape[-1] for each in own), *(0 if t is None else t.data_ptr() for t in (*own, bias))]
            weights += [*own, *([] if bias is None else [bias])]
        packed, masks = struct.pack(f"={len(numbers)}q", *numbers), torch.empty(1, dtype=torch.int64)
        native.call("conv_graph_masks", self.dtype, packed, masks)
        return _Plan(packed, tuple(states[k] for k in self.outputs), int(masks), weights)

    def _together(self, states: Sequence[Size], scratch: int) -> int:
        """Return how many images go through together: as many as the cache holds, or more where weights are large.

        All weights are read once for each group, all maps are written and read once for each image: in groups of w / m
        images, for w numbers of weights and m of maps, neither takes longer than the other.
        """
        element = torch.empty((), dtype=self.dtype).element_size()
        weights = 0
        for layer in self.layers:
            if isinstance(layer, Convolution):
                tile = outputs_of(*states[layer.source][1:]) if layer.may_use_tiles else None
                weights += layer.weight.numel() * (1 if tile is None else (tile + 2) ** 2) // (1 if tile is None else 9)
        maps = 2 * sum(_numbers(size) for size in states[self.given :])
        return max(1, CACHE // (element * max(scratch, 1)), weights // maps)

    def _lives(self, states: int) -> list[tuple[int, int]]:
        """Return the layers between which each state is needed, both included."""
        lives = []
        for k in range(states):
            readers = [i for i, layer in enumerate(self.layers) if k in (layer.source, layer.residual)]
            last = len(self.layers) if k in self.outputs else max(readers, default=k - self.given)
            lives.append((k - self.given, last))
        return lives

    def _weight(self, i: int, layer: Convolution, tile: Outputs | None, *, backward: bool) -> Tensor:
        key = (i, tile, backward)
        if key not in self._prepared:
            weight = layer.weight.detach()
            if tile is not None:
                made = transformed(weight.flip(2, 3).transpose(0, 1) if backward else weight, tile)
            else:
                matrix = weight.permute(0, 2, 3, 1).flatten(1)  # a patch in the order of channels last
                made = padded(matrix if backward else matrix.t())
            self._prepared[key] = made
        return self._prepared[key]


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
