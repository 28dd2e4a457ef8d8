"""Convolutions and batch norm with fixed statistics, folded into one affine map x -> A x + b with its transpose."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d
from torch.nn.grad import conv2d_input

from advrush.kernels import depthwise_conv as depthwise
from advrush.kernels import native, separable_conv
from advrush.kernels.batch_statistics import fixed_scale_and_shift
from advrush.kernels.separable_chain import Link, Norm
from advrush.kernels.separable_conv import Before, StageShape
from advrush.models.fused.conv_chain import Stage
from advrush.models.fused.layers import even_and_odd, interleaved, is_depthwise, is_pointwise
from advrush.models.linearized.activations import masked
from advrush.space.operations import FactorizedReduce

Size = tuple[int, int]
"""Height and width of a map."""


class Affine:
    """The map x -> A x + b of a stage: the scale of its batch norm is folded into the last convolution.

    `bias` is b (C,); `scale` is A (C,) where the stage is batch norm alone, else None.
    """

    def __init__(self, stage: Stage) -> None:
        scale, self.bias = _scale_and_shift(stage)
        last = len(stage.layers) - 1
        self._maps = [_linear(layer, scale if i == last else None) for i, layer in enumerate(stage.layers)]
        self.scale = None if scale is None or stage.layers else scale.contiguous()
        self._scale = None if self.scale is None else self.scale.view(1, -1, 1, 1)
        self._separable = _separable(self._maps)

    def __call__(self, x: Tensor) -> Tensor:
        """Return A x + b."""
        if self._separable is not None and native.applies(x):
            return self._separable.jvp(x, None, self.bias)
        if self._scale is not None:
            return torch.addcmul(self.bias.view(1, -1, 1, 1), x, self._scale)
        for linear in self._maps[:-1]:
            x = linear.jvp(x, None)
        return self._maps[-1].jvp(x, self.bias)

    def jvp(self, t: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return A t, with t taken as zero where `mask`, a map of its shape, is not positive."""
        if self._separable is not None and native.applies(t):
            return self._separable.jvp(t, mask, None)
        t = t if mask is None else masked(t, mask)
        if self._scale is not None:
            return t * self._scale
        for linear in self._maps:
            t = linear.jvp(t, None)
        return t

    def vjp(self, c: Tensor, size: Size, mask: Tensor | None = None) -> Tensor:
        """Return A^T c, of height and width `size`, zero where `mask`, a map of that size, is not positive.

        A strided convolution's output does not tell its input's size.
        """
        if self._separable is not None and native.applies(c):
            return self._separable.vjp(c, size, mask)
        q = self._vjp(c, size)
        return q if mask is None else masked(q, mask)

    def link(self) -> Link | None:
        """Return the stage as compiled kernels take it, its bias as a shift; None if it is no separable convolution."""
        if self._separable is None:
            return None
        bias = Norm(None, self.bias, None, None, None, 0.0, 0.0)
        return Link(self._separable.shape, self._separable.filters, self._separable.matrix, bias)

    def _vjp(self, c: Tensor, size: Size) -> Tensor:
        if self._scale is not None:
            return c * self._scale
        sizes = [size]
        for linear in self._maps[:-1]:
            sizes.append(linear.out_size(sizes[-1]))
        for linear, each in zip(reversed(self._maps), reversed(sizes), strict=True):
            c = linear.vjp(c, each)
        return c


class _Linear(ABC):
    """A convolution without its bias, scaled for each output channel."""

    @abstractmethod
    def jvp(self, t: Tensor, bias: Tensor | None) -> Tensor:
        """Return W t, plus `bias` (C,) if given."""

    @abstractmethod
    def vjp(self, c: Tensor, size: Size) -> Tensor:
        """Return W^T c, of height and width `size`."""

    @abstractmethod
    def out_size(self, size: Size) -> Size:
        """Return the height and width of the output for an input of `size`."""


class _Depthwise(_Linear):
    def __init__(self, layer: nn.Conv2d, scale: Tensor | None) -> None:
        self.layer, self.weight = layer, _scaled(layer.weight, scale)
        self.flipped = self.weight.flip(2, 3)

    def jvp(self, t: Tensor, bias: Tensor | None) -> Tensor:
        return depthwise.convolve(t, self.weight, self._shape((t.shape[2], t.shape[3])), bias)

    def vjp(self, c: Tensor, size: Size) -> Tensor:
        return depthwise.adjoint(c, self.flipped, self._shape(size))

    def out_size(self, size: Size) -> Size:
        return _out_size(self.layer, size)

    def _shape(self, size: Size) -> depthwise.Shape:
        layer = self.layer
        return depthwise.Shape(layer.kernel_size[0], layer.stride[0], layer.dilation[0], *size)


class _Dense(_Linear):
    def __init__(self, layer: nn.Conv2d, scale: Tensor | None) -> None:
        self.layer, self.weight = layer, _scaled(layer.weight, scale)
        windows = zip(layer.dilation, layer.kernel_size, strict=True)
        same = layer.padding == tuple(d * (k // 2) for d, k in windows if k % 2)
        self.flipped = None
        if layer.groups == 1 and layer.stride == (1, 1) and same:
            self.flipped = self.weight.flip(2, 3).transpose(0, 1).contiguous()

    def jvp(self, t: Tensor, bias: Tensor | None) -> Tensor:
        layer = self.layer
        return conv2d(t, self.weight, bias, layer.stride, layer.padding, layer.dilation, layer.groups)

    def vjp(self, c: Tensor, size: Size) -> Tensor:
        layer = self.layer
        if self.flipped is not None:
            return conv2d(c, self.flipped, None, 1, layer.padding, layer.dilation)
        args = (layer.stride, layer.padding, layer.dilation, layer.groups)
        return conv2d_input(  # type: ignore[no-any-return, no-untyped-call]
            (c.shape[0], layer.in_channels, *size), self.weight, c, *args
        )

    def out_size(self, size: Size) -> Size:
        return _out_size(self.layer, size)


class _Halves(_Linear):
    """The two convolutions of a factorized reduce: on the even pixels, and on the odd ones."""

    def __init__(self, layer: FactorizedReduce, scale: Tensor | None) -> None:
        split = layer.conv_1.out_channels
        first, second = (None, None) if scale is None else (scale[:split], scale[split:])
        self.split = split
        self.first, self.second = _scaled(layer.conv_1.weight, first), _scaled(layer.conv_2.weight, second)

    def jvp(self, t: Tensor, bias: Tensor | None) -> Tensor:
        even, odd = even_and_odd(t)
        low, high = (None, None) if bias is None else (bias[: self.split], bias[self.split :])
        return torch.cat([conv2d(even, self.first, low), conv2d(odd, self.second, high)], dim=1)

    def vjp(self, c: Tensor, size: Size) -> Tensor:
        even = conv2d(c[:, : self.split], self.first.transpose(0, 1))
        odd = conv2d(c[:, self.split :], self.second.transpose(0, 1))
        return interleaved(even, odd, size)

    def out_size(self, size: Size) -> Size:
        return (size[0] + 1) // 2, (size[1] + 1) // 2


class _Separable:
    """A depthwise and a pointwise convolution, or a pointwise one alone, in one compiled kernel."""

    def __init__(self, depthwise: _Depthwise | None, pointwise: _Dense) -> None:
        self.matrix = pointwise.weight.contiguous()
        if depthwise is None:
            self.shape = separable_conv.POINTWISE
            self.filters = separable_conv.no_filters(self.matrix.shape[1], self.matrix.dtype)
        else:
            layer = depthwise.layer
            self.shape = StageShape(layer.kernel_size[0], layer.stride[0], layer.dilation[0])
            self.filters = depthwise.weight.contiguous()

    def jvp(self, t: Tensor, mask: Tensor | None, bias: Tensor | None) -> Tensor:
        """Return A t, plus `bias`, with t taken as zero where `mask` is not positive."""
        return separable_conv.forward(t, self.filters, self.matrix, self.shape, Before(mask=mask), bias=bias)[0]

    def vjp(self, c: Tensor, size: Size, mask: Tensor | None) -> Tensor:
        """Return A^T c, zero where `mask` is not positive."""
        return separable_conv.adjoint(c, self.filters, self.matrix, self.shape, size, mask)


def _separable(maps: Sequence[_Linear]) -> _Separable | None:
    """Return the kernel for these maps if they are a plain pointwise convolution, a depthwise one before it or not."""
    if not maps:
        return None
    *first, last = maps
    if not (isinstance(last, _Dense) and is_pointwise(last.layer) and len(first) <= 1):
        return None
    if first and not isinstance(first[0], _Depthwise):
        return None
    found = _Separable(first[0] if first else None, last)  # type: ignore[arg-type]
    return found if found.shape.is_built() else None


def _out_size(layer: nn.Conv2d, size: Size) -> Size:
    """Return the height and width of a zero-padded convolution's output."""
    padding = layer.padding
    assert not isinstance(padding, str), "the paddings of a chain's layers are numbers"
    height, width = (
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, p, d, k, s in zip(size, padding, layer.dilation, layer.kernel_size, layer.stride, strict=True)
    )
    return height, width


def _scale_and_shift(stage: Stage) -> tuple[Tensor | None, Tensor]:
    """Return batch norm with its running statistics as scale and shift (C,); no scale and zeros where there is none."""
    norm = stage.norm
    if norm is None:
        last = stage.layers[-1]
        assert isinstance(last, nn.Conv2d), "a factorized reduce ends in its batch norm"
        return None, last.weight.new_zeros(last.out_channels).detach()
    scale, shift = fixed_scale_and_shift(norm)
    return scale.detach(), shift.detach()


def _linear(layer: nn.Conv2d | FactorizedReduce, scale: Tensor | None) -> _Linear:
    if isinstance(layer, FactorizedReduce):
        return _Halves(layer, scale)
    return _Depthwise(layer, scale) if is_depthwise(layer) else _Dense(layer, scale)


def _scaled(weight: Tensor, scale: Tensor | None) -> Tensor:
    weight = weight.detach()
    return weight if scale is None else weight * scale.view(-1, 1, 1, 1)


def fold(stages: Sequence[Stage]) -> list[Affine]:
    """Return the affine maps of a chain's stages at the present weights and running statistics."""
    return [Affine(stage) for stage in stages]
