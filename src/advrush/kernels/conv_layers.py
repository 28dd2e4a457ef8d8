"""The layers of a graph of convolutions: what each computes, and how the compiled kernels read it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, avg_pool2d, batch_norm, conv2d

from advrush.kernels.winograd import gains, outputs_of, padded, transformed

Size = tuple[int, int, int]
LARGEST, LARGEST_POINTWISE = 1 << 17, 1 << 13
"""Weights of the largest direct convolutions that are given to the kernels: any, and 1x1 of stride 1."""
FEW = 4
"""Most channels of images."""
NORM, POOL, DIRECT = -2, -1, 0
"""Kinds of layers besides convolutions by tiles, whose kind is the side of a tile's outputs."""


class Row(NamedTuple):
    """A layer as the kernels read it; `native/conv_graph.h` describes the numbers."""

    kind: int
    k: int = 0
    stride: int = 0
    padding: int = 0
    weight: Tensor | None = None
    back: Tensor | None = None
    bias: Tensor | None = None

    def numbers(self, source: int, residual: int | None, relu: bool) -> list[int]:
        """Return the numbers of a layer that reads these states; tensors are told by address."""
        columns = [0 if each is None else each.shape[-1] for each in (self.weight, self.back)]
        places = [0 if each is None else each.data_ptr() for each in (self.weight, self.back, self.bias)]
        residual = -1 if residual is None else residual
        return [source, residual, self.kind, self.k, self.stride, self.padding, int(relu), *columns, *places]


class Layer(ABC):
    """Makes one map, a state, of one or two earlier ones. Given maps are states 0 to g - 1; layer i makes g + i."""

    source: int
    """The state that is read."""
    residual: int | None = None
    """The state that is added."""
    relu: bool = False
    """Whether what is made is rectified."""

    @property
    def dtype(self) -> torch.dtype | None:
        """Return the weights' type, None for a layer without."""
        return None

    @abstractmethod
    def size(self, states: Sequence[Size]) -> Size | None:
        """Return the size of the state that is made of states of these sizes, None where they do not fit."""

    @abstractmethod
    def plainly(self, states: Sequence[Tensor]) -> Tensor:
        """Return the state by torch's own operations."""

    @abstractmethod
    def row(self, size: Size) -> Row:
        """Return the layer as the kernels read it for a source of this size, with the weights that it has now."""


@dataclass(frozen=True, eq=False)
class Convolution(Layer):
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
    residual: int | None = None
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

    def size(self, states: Sequence[Size]) -> Size | None:
        """Return the size of y, None where it has no pixel, or where channels or the residual do not fit."""
        (cout, c, k, _), (channels, *sides) = self.weight.shape, states[self.source]
        height, width = ((side + 2 * self.padding - k) // self.stride + 1 for side in sides)
        made = cout, height, width
        fits = channels == c and min(height, width) > 0 and (self.residual is None or states[self.residual] == made)
        return made if fits else None

    def plainly(self, states: Sequence[Tensor]) -> Tensor:
        """Return y by torch's own operations."""
        y: Tensor = conv2d(states[self.source], self.weight, self.bias, self.stride, self.padding)
        y = y if self.residual is None else y + states[self.residual]
        return torch.relu(y) if self.relu else y

    def row(self, size: Size) -> Row:
        """Return the weights as tiles need them, or as matrices of patches, in the order of channels last."""
        weight, bias = self.weight.detach(), None if self.bias is None else padded(self.bias.detach())
        k = weight.shape[-1]
        if self.may_use_tiles:
            side = outputs_of(*size[1:])
            back = transformed(weight.flip(2, 3).transpose(0, 1), side)
            return Row(side, k, 1, 1, transformed(weight, side), back, bias)
        matrix = weight.permute(0, 2, 3, 1).flatten(1)
        return Row(DIRECT, k, self.stride, self.padding, padded(matrix.t()), padded(matrix), bias)


@dataclass(frozen=True, eq=False)
class Norm(Layer):
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

    @property
    def dtype(self) -> torch.dtype:
        """Return the statistics' type."""
        return self.mean.dtype

    def size(self, states: Sequence[Size]) -> Size | None:
        """Return the source's size, None where channels do not fit."""
        return states[self.source] if states[self.source][0] == len(self.mean) else None

    def plainly(self, states: Sequence[Tensor]) -> Tensor:
        """Return the map by torch's own operations."""
        y = batch_norm(states[self.source], self.mean, self.variance, self.weight, self.bias, eps=self.eps)
        return torch.relu(y) if self.relu else y

    def row(self, size: Size) -> Row:
        """Return scale and shift of each channel."""
        scale = (self.variance.detach().double() + self.eps).rsqrt()
        scale = scale if self.weight is None else scale * self.weight.detach()
        shift = -self.mean.detach() * scale
        shift = shift if self.bias is None else shift + self.bias.detach()
        return Row(NORM, weight=padded(scale.to(self.dtype)), bias=padded(shift.to(self.dtype)))


@dataclass(frozen=True)
class Pool(Layer):
    """Averages over windows that do not overlap."""

    source: int
    window: int | None = None
    """Side of a window, at least 1; None with `side`."""
    side: int | None = None
    """Side of the output, at least 1, which divides the input's; None with `window`."""

    def size(self, states: Sequence[Size]) -> Size | None:
        """Return the size of the averages, None where windows do not fit."""
        channels, height, width = states[self.source]
        window = self._window(height)
        fits = window > 0 and height % window == 0 and width % window == 0
        return (channels, height // window, width // window) if fits and self._has_side(width, window) else None

    def plainly(self, states: Sequence[Tensor]) -> Tensor:
        """Return the averages by torch's own operations."""
        x = states[self.source]
        return avg_pool2d(x, self.window) if self.window else adaptive_avg_pool2d(x, self.side or 1)

    def row(self, size: Size) -> Row:
        """Return the side of the windows, which is their stride."""
        window = self._window(size[1])
        return Row(POOL, window, window)

    def _window(self, height: int) -> int:
        return self.window or height // (self.side or 1)

    def _has_side(self, width: int, window: int) -> bool:
        return self.window is not None or width // window == self.side


def is_quick(weight: Tensor, stride: int, padding: int) -> bool:
    """Return whether the kernels are about as quick as the library's convolution with this weight (C', C, k, k).

    The library blocks large products for the caches. Its own gradient for images of few channels is slow.
    """
    _, c, k, _ = weight.shape
    if stride == 1 and c > FEW:
        return weight.numel() <= LARGEST_POINTWISE if k == 1 else Convolution(weight, None, 1, padding, 0).may_use_tiles
    return weight.numel() <= LARGEST
