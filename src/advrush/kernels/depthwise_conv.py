"""Depthwise convolution whose derivatives of any order are depthwise convolutions.

Autograd's double backward of a grouped convolution loops over the groups, and some of the library's backward
kernels for 5x5 or dilated filters are ten times slower on a CPU than the forward one. Here convolution, adjoint
and weight gradient are three bilinear maps, each of whose derivatives are the other two.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad


class Shape(NamedTuple):
    """Shape parameters of a depthwise convolution with an odd square filter and `same` padding."""

    kernel: int
    stride: int
    dilation: int
    height: int
    width: int

    @property
    def padding(self) -> int:
        """Return the zeros on each side."""
        return self.dilation * (self.kernel // 2)

    def on_even_pixels(self) -> Shape:
        """Return what is left of stride 2 and dilation 2 on the even rows and columns, the only ones they read."""
        return Shape(self.kernel, 1, 1, (self.height + 1) // 2, (self.width + 1) // 2)


def depthwise_conv2d(x: Tensor, weight: Tensor, *, stride: int = 1, dilation: int = 1) -> Tensor:
    """Convolve each channel of x (N, C, H, W) with its own filter of `weight` (C, 1, k, k), k odd.

    Pads by dilation * (k // 2): the result is (N, C, ceil(H / stride), ceil(W / stride)). Differentiable any number
    of times, at the cost of depthwise convolutions.
    """
    shape = Shape(weight.shape[-1], stride, dilation, x.shape[-2], x.shape[-1])
    return _Convolve.apply(x, weight, shape)  # type: ignore[no-any-return, no-untyped-call]


class _Convolve(torch.autograd.Function):
    """y = w * x."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, shape: Shape) -> Tensor:
        # an input that needs no gradient is not kept: with frozen weights nothing but the filters is
        ctx.save_for_backward(x if ctx.needs_input_grad[1] else None, weight)
        ctx.shape = shape
        return convolve(x, weight, shape)

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        (x, weight), (y,) = ctx.saved_tensors, cotangents
        dx = _Adjoint.apply(y, weight, ctx.shape) if ctx.needs_input_grad[0] else None  # type: ignore[no-untyped-call]
        dw = _WeightGradient.apply(x, y, ctx.shape) if ctx.needs_input_grad[1] else None  # type: ignore[no-untyped-call]
        return dx, dw, None


class _Adjoint(torch.autograd.Function):
    """x = w^T y, with <w * a, y> = <a, w^T y>."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, weight: Tensor, shape: Shape) -> Tensor:
        ctx.save_for_backward(y if ctx.needs_input_grad[1] else None, weight)
        ctx.shape = shape
        return adjoint(y, weight.flip(2, 3), shape)

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        (y, weight), (x,) = ctx.saved_tensors, cotangents
        dy = _Convolve.apply(x, weight, ctx.shape) if ctx.needs_input_grad[0] else None  # type: ignore[no-untyped-call]
        dw = _WeightGradient.apply(x, y, ctx.shape) if ctx.needs_input_grad[1] else None  # type: ignore[no-untyped-call]
        return dy, dw, None


class _WeightGradient(torch.autograd.Function):
    """w = d<w * x, y> / dw."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, shape: Shape) -> Tensor:
        ctx.save_for_backward(x if ctx.needs_input_grad[1] else None, y if ctx.needs_input_grad[0] else None)
        ctx.shape = shape
        return weight_gradient(x, y, shape)

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        (x, y), (weight,) = ctx.saved_tensors, cotangents
        dx = _Adjoint.apply(y, weight, ctx.shape) if ctx.needs_input_grad[0] else None  # type: ignore[no-untyped-call]
        dy = _Convolve.apply(x, weight, ctx.shape) if ctx.needs_input_grad[1] else None  # type: ignore[no-untyped-call]
        return dx, dy, None


def convolve(x: Tensor, weight: Tensor, shape: Shape, bias: Tensor | None = None) -> Tensor:
    """Return w * x (plus bias), outside autograd."""
    if shape.stride == shape.dilation == 2:
        return convolve(x[:, :, ::2, ::2], weight, shape.on_even_pixels(), bias)
    return conv2d(x, weight, bias, shape.stride, shape.padding, shape.dilation, weight.shape[0])


def adjoint(y: Tensor, flipped: Tensor, shape: Shape) -> Tensor:
    """Return w^T y, outside autograd; `flipped` is w rotated by 180 degrees."""
    if shape.stride == shape.dilation == 2:
        return spread(adjoint(y, flipped, shape.on_even_pixels()), shape)
    return conv2d(spread(y, shape), flipped, None, 1, shape.padding, shape.dilation, flipped.shape[0])


def weight_gradient(x: Tensor, y: Tensor, shape: Shape) -> Tensor:
    """Return the gradient (C, 1, k, k) of <w * x, y>, outside autograd."""
    kernel, stride, dilation, height, width = shape
    if stride == dilation == 2:
        return weight_gradient(x[:, :, ::2, ::2], y, shape.on_even_pixels())
    if x.device.type == "cpu" and dilation == 2 and height % 2 == 0 and width % 2 == 0:
        dense = Shape(kernel, 1, 1, height // 2, width // 2)
        return weight_gradient(_phases(x), _phases(spread(y, shape)), dense)
    if x.device.type == "cpu" and kernel == 5 and stride == dilation == 1:
        return _by_columns(x, y)
    return _library_weight_gradient(x, y, (kernel, kernel), (shape.padding, shape.padding), stride, dilation)


def spread(y: Tensor, shape: Shape) -> Tensor:
    """Put y's values on the grid of the stride, zeros elsewhere."""
    if shape.stride == 1:
        return y
    x = zeros_like_layout(y, shape.height, shape.width)
    x[:, :, :: shape.stride, :: shape.stride] = y
    return x


def zeros_like_layout(y: Tensor, height: int, width: int) -> Tensor:
    """Return zeros of another size, in the layout of y (N, C, H, W)."""
    n, c = y.shape[:2]
    if y.is_contiguous(memory_format=torch.channels_last):
        return y.new_zeros(n, height, width, c).permute(0, 3, 1, 2)
    return y.new_zeros(n, c, height, width)


def _phases(x: Tensor) -> Tensor:
    """Sort the pixels into the four half-size images that a convolution of dilation 2 never mixes: (4 N, C, ...)."""
    n, c, height, width = x.shape
    parts = x.view(n, c, height // 2, 2, width // 2, 2).permute(3, 5, 0, 2, 4, 1)
    return parts.reshape(4 * n, height // 2, width // 2, c).permute(0, 3, 1, 2)


def _by_columns(x: Tensor, y: Tensor) -> Tensor:
    """Take the gradient of a 5x5 filter as that of its first three and last two columns: the library is quick there."""
    gradient = x.new_empty(x.shape[1], 1, 5, 5)
    for first, last, margins in ((0, 3, (2, 0)), (3, 5, (-1, 2))):
        gradient[..., first:last] = _library_weight_gradient(pad(x, margins), y, (5, last - first), (2, 0), 1, 1)
    return gradient


def _library_weight_gradient(
    x: Tensor, y: Tensor, kernel: tuple[int, int], padding: tuple[int, int], stride: int, dilation: int
) -> Tensor:
    weight = x.new_empty(x.shape[1], 1, *kernel)
    gradients = torch.ops.aten.convolution_backward(
        y, x, weight, None, [stride] * 2, padding, [dilation] * 2, False, [0, 0], x.shape[1], [False, True, False]
    )
    return gradients[1]  # type: ignore[no-any-return]
