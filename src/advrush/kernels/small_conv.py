"""Convolutions with fixed weights that are one product with a matrix: 1x1 ones, and the gradient for the images."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import conv2d, pad

from advrush.kernels import native
from advrush.kernels.separable_conv import empty_map


def padded(tensor: Tensor) -> Tensor:
    """Return a tensor with zeros behind its last dimension, up to a multiple of 16, as the kernels read it."""
    return pad(tensor, (0, -tensor.shape[-1] % 16)).contiguous()


class _FixedConv(ABC):
    """A convolution with the weights (C', C, k, k) that it was given, differentiable once, for its input."""

    def __init__(self, weight: Tensor, stride: int) -> None:
        self.weight, self.stride = weight.detach().clone(), stride

    def applies(self, x: Tensor) -> bool:
        """Return whether the kernels take x (N, C, H, W): on a CPU, channels last, no autocast."""
        fits = x.dim() == 4 and x.shape[1] == self.weight.shape[1] and x.dtype == self.weight.dtype and x.numel() > 0
        return fits and native.applies(x) and not torch.is_autocast_enabled("cpu")

    def __call__(self, x: Tensor) -> Tensor:
        """Return y (N, C', H', W'); differentiable once, for x."""
        y: Tensor = _Convolution.apply(x, self)  # type: ignore[no-untyped-call]
        return y

    @abstractmethod
    def value(self, x: Tensor) -> Tensor:
        """Return y without a graph."""

    @abstractmethod
    def input_gradient(self, dy: Tensor, shape: torch.Size) -> Tensor:
        """Return the gradient of <dy, y> for x of this shape (N, C, H, W)."""


class PointwiseConv(_FixedConv):
    """A 1x1 convolution with a stride and fixed weights."""

    def __init__(self, weight: Tensor, bias: Tensor | None, stride: int) -> None:
        """Take the weights (C', C, 1, 1) and bias (C',) as they are now."""
        super().__init__(weight, stride)
        matrix = self.weight.flatten(1)
        self._forward, self._backward = padded(matrix.t()), padded(matrix)
        self._bias = None if bias is None else padded(bias.detach())

    def value(self, x: Tensor) -> Tensor:
        """Return y without a graph."""
        height, width = ((side - 1) // self.stride + 1 for side in x.shape[2:])
        y = empty_map(x, len(self.weight), height, width)
        native.call(
            "pointwise", x.dtype, *self._sizes(x.shape), self._forward.shape[1], self._forward, self._bias, x, y
        )
        return y

    def input_gradient(self, dy: Tensor, shape: torch.Size) -> Tensor:
        """Return the gradient of <dy, y> for x of this shape (N, C, H, W)."""
        dx = empty_map(dy, *shape[1:])
        native.call("pointwise_back", dy.dtype, *self._sizes(shape), self._backward.shape[1], self._backward, dy, dx)
        return dx

    def _sizes(self, shape: torch.Size) -> tuple[int, ...]:
        n, c, height, width = shape
        return n, height, width, c, len(self.weight), self.stride


class ImageConv(_FixedConv):
    """A convolution of images with few channels and fixed weights: the library's value, and a gradient of one product.

    Each pixel of dy times the weights is a patch of dx; the patches are added up where they lie.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, stride: int, padding: int) -> None:
        """Take the weights (C', C, k, k) and bias (C',) as they are now."""
        super().__init__(weight, stride)
        self.padding = padding
        self._bias = None if bias is None else bias.detach().clone()
        self._backward = padded(self.weight.permute(0, 2, 3, 1).flatten(1))  # a patch in the order of channels last

    def value(self, x: Tensor) -> Tensor:
        """Return y without a graph."""
        return conv2d(x.detach(), self.weight, self._bias, self.stride, self.padding)

    def input_gradient(self, dy: Tensor, shape: torch.Size) -> Tensor:
        """Return the gradient of <dy, y> for x of this shape (N, C, H, W)."""
        n, c, height, width = shape
        dx, (cout, _, k, _) = empty_map(dy, c, height, width), self.weight.shape
        sizes = (n, height, width, c, *dy.shape[2:], cout, k, self.stride, self.padding, self._backward.shape[1])
        native.call("image_gradient", dy.dtype, *sizes, self._backward, dy, dx)
        return dx


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: _FixedConv) -> Tensor:
        ctx.layer, ctx.shape = layer, x.shape
        return layer.value(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, None]:
        return ctx.layer.input_gradient(native.laid_out(dy), ctx.shape), None
