"""One stage of a depthwise-separable convolution as a single compiled kernel, forward and backward."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from advrush.kernels import native


class StageShape(NamedTuple):
    """Shape parameters of the depthwise convolution: odd square filter, `same` padding."""

    kernel: int
    stride: int
    dilation: int

    def is_built(self) -> bool:
        """Return whether a kernel was compiled for it."""
        return self == POINTWISE or (self.kernel in (3, 5, 7) and self.stride in (1, 2) and self.dilation in (1, 2))


POINTWISE = StageShape(1, 1, 1)
"""That of a stage without a depthwise convolution: a filter of ones, `no_filters`."""


@lru_cache(maxsize=64)
def no_filters(channels: int, dtype: torch.dtype) -> Tensor:
    """Return the filters (C, 1, 1, 1) of ones."""
    return torch.ones(channels, 1, 1, 1, dtype=dtype)


class Before(NamedTuple):
    """What is done to x before the depthwise convolution: t = pre(x)."""

    rectify: bool = False
    """Take the positive part, after scale and shift."""
    scale: Tensor | None = None
    """Of each channel (C,); None: 1."""
    shift: Tensor | None = None
    """Of each channel (C,); given with `scale`."""
    mask: Tensor | None = None
    """A map of the shape of x: t is x where it is positive and 0 elsewhere; the others are not used then."""


class Cotangent(NamedTuple):
    """The cotangent of y: `dy`, or a dy + b y + e for each channel where these are given, as batch norm makes it."""

    dy: Tensor
    y: Tensor | None = None
    a: Tensor | None = None
    b: Tensor | None = None
    e: Tensor | None = None


class Gradients(NamedTuple):
    """What `backward` returns."""

    x: Tensor
    depthwise: Tensor | None
    pointwise: Tensor | None
    sums: Tensor | None
    """The sums (2, C) of dt and of dt x over all pixels, float64, dt being the gradient before scale and shift."""


def forward(
    x: Tensor,
    depthwise: Tensor,
    pointwise: Tensor,
    shape: StageShape,
    before: Before,
    *,
    bias: Tensor | None = None,
    sums: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """Return y = pointwise(depthwise(pre(x))) + bias and, with `sums`, those of y and y^2 (2, C'), float64.

    Args:
        x: (N, C, H, W), channels last.
        depthwise: (C, 1, k, k).
        pointwise: (C', C, 1, 1).
        shape: shape parameters of the depthwise convolution.
        before: what is done to x.
        bias: (C',).
        sums: whether the sums over all pixels are wanted.
    """
    height, width = (-(-n // shape.stride) for n in x.shape[2:])
    y = empty_map(x, pointwise.shape[0], height, width)
    totals = x.new_empty(2, y.shape[1], dtype=torch.float64) if sums else None
    native.call("separable_forward", x.dtype, *_arguments(x, depthwise, pointwise, shape, before), bias, y, totals)
    return y, totals


def backward(
    x: Tensor,
    depthwise: Tensor,
    pointwise: Tensor,
    shape: StageShape,
    before: Before,
    cotangent: Cotangent,
    *,
    weights: tuple[bool, bool] = (False, False),
    sums: bool = False,
) -> Gradients:
    """Return the gradients of <cotangent, y> for pre's input before scale and shift, and for the wanted weights.

    Where `before` has a scale, the gradient is that of scale * x + shift, not of x. The other arguments are those of
    `forward`; `cotangent` holds maps of the shape of y, channels last.
    """
    dx = empty_map(x, *x.shape[1:])
    filters = torch.empty_like(depthwise, memory_format=torch.contiguous_format) if weights[0] else None
    matrix = torch.empty_like(pointwise, memory_format=torch.contiguous_format) if weights[1] else None
    totals = x.new_empty(2, x.shape[1], dtype=torch.float64) if sums else None
    arguments = _arguments(x, depthwise, pointwise, shape, before)
    dy, y, *coefficients = cotangent
    maps = (native.laid_out(dy), None if y is None else native.laid_out(y))
    native.call("separable_backward", x.dtype, *arguments, *maps, *coefficients, dx, filters, matrix, totals)
    return Gradients(dx, filters, matrix, totals)


def adjoint(
    c: Tensor,
    depthwise: Tensor,
    pointwise: Tensor,
    shape: StageShape,
    size: tuple[int, int],
    mask: Tensor | None = None,
) -> Tensor:
    """Return A^T c, (N, C, *size), for y = A x = pointwise(depthwise(x)), zero where `mask` is not positive.

    `mask` is a map of the shape of x; a strided convolution's output does not tell its input's size.
    """
    dx = empty_map(c, pointwise.shape[1], *size)
    arguments = _arguments(dx, depthwise, pointwise, shape, Before(mask=mask))
    native.call("separable_backward", c.dtype, *arguments, *Cotangent(native.laid_out(c)), dx, None, None, None)
    return dx


def empty_map(x: Tensor, channels: int, height: int, width: int) -> Tensor:
    """Return an uninitialized map (N, channels, height, width), channels last, of the type of x."""
    return x.new_empty(x.shape[0], height, width, channels).permute(0, 3, 1, 2)


def _arguments(
    x: Tensor, depthwise: Tensor, pointwise: Tensor, shape: StageShape, before: Before
) -> tuple[int | Tensor | None, ...]:
    n, c, height, width = x.shape
    sizes = (n, height, width, c, pointwise.shape[0], *shape)
    mask = None if before.mask is None else native.laid_out(before.mask)
    maps = (native.laid_out(x), before.scale, before.shift, mask, int(before.rectify))
    return (*sizes, *maps, depthwise.detach().contiguous(), pointwise.detach().contiguous())
