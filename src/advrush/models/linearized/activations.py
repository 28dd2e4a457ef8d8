"""ReLU and pooling at a point: their value there, and there alone, with derivative and transpose."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d, relu

from advrush.kernels import depthwise_conv as depthwise
from advrush.kernels.avg_pool import box, same_window
from advrush.models.fused.conv_chain import Feature


class FeatureAt(ABC):
    """A piecewise linear map at a point x (N, C, H, W), channels last."""

    value: Tensor

    @abstractmethod
    def tangent(self, t: Tensor) -> Tensor:
        """Return the derivative applied to t, of the shape of x."""

    @abstractmethod
    def transpose(self, c: Tensor) -> Tensor:
        """Return the derivative's transpose applied to c, of the shape of the value."""


class IdentityAt(FeatureAt):
    """x itself."""

    def __init__(self, x: Tensor) -> None:
        self.value = x

    def tangent(self, t: Tensor) -> Tensor:
        """Return t."""
        return t

    def transpose(self, c: Tensor) -> Tensor:
        """Return c."""
        return c


class ReluAt(FeatureAt):
    """The positive part; its derivative at 0 is 0, as autograd has it."""

    def __init__(self, x: Tensor, *, inplace: bool = False) -> None:
        self.value = x.relu_() if inplace else relu(x)

    def tangent(self, t: Tensor) -> Tensor:
        """Return t where x is positive."""
        return torch.ops.aten.threshold_backward(t, self.value, 0)  # type: ignore[no-any-return]

    def transpose(self, c: Tensor) -> Tensor:
        """Return c where x is positive."""
        return self.tangent(c)


class AverageAt(FeatureAt):
    """An average pool that counts no padding: the sum over a window, a depthwise convolution, times a share."""

    def __init__(self, pool: nn.AvgPool2d, x: Tensor) -> None:
        window = same_window(pool)
        assert window is not None, "another window is WindowAt's"
        self.ones, self.shares = box(*window, x)
        self.shape = depthwise.Shape(*window, 1, x.shape[2], x.shape[3])
        self.value = self.tangent(x)

    def tangent(self, t: Tensor) -> Tensor:
        """Return the average of t."""
        return depthwise.convolve(t, self.ones, self.shape).mul_(self.shares)

    def transpose(self, c: Tensor) -> Tensor:
        """Return c spread over the windows."""
        return depthwise.adjoint(c * self.shares, self.ones, self.shape)


class WindowAt(FeatureAt):
    """Any other average pool."""

    def __init__(self, pool: nn.AvgPool2d, x: Tensor) -> None:
        self.pool, self.x, self.value = pool, x, pool(x)

    def tangent(self, t: Tensor) -> Tensor:
        """Return the average of t."""
        return self.pool(t)  # type: ignore[no-any-return]

    def transpose(self, c: Tensor) -> Tensor:
        """Return c spread over the windows."""
        pool = self.pool
        kernel, stride, padding = (
            [v, v] if isinstance(v, int) else list(v) for v in (pool.kernel_size, pool.stride, pool.padding)
        )
        return torch.ops.aten.avg_pool2d_backward(  # type: ignore[no-any-return]
            c, self.x, kernel, stride, padding, pool.ceil_mode, pool.count_include_pad, pool.divisor_override
        )


class MaximumAt(FeatureAt):
    """A max pool; it remembers which pixel won."""

    def __init__(self, pool: nn.MaxPool2d, x: Tensor) -> None:
        self.pool, self.x = pool, x
        self.value, self.winners = max_pool2d(
            x, pool.kernel_size, pool.stride, pool.padding, pool.dilation, pool.ceil_mode, return_indices=True
        )

    def tangent(self, t: Tensor) -> Tensor:
        """Return t at the winners."""
        n, c, height, width = self.value.shape
        pixels = self.winners.permute(0, 2, 3, 1).reshape(n, height * width, c)
        chosen = t.permute(0, 2, 3, 1).reshape(n, -1, c).gather(1, pixels)
        return chosen.view(n, height, width, c).permute(0, 3, 1, 2)

    def transpose(self, c: Tensor) -> Tensor:
        """Return c at the winners, summed over the windows that a pixel wins, zero elsewhere."""
        pool = self.pool
        kernel, stride, padding, dilation = (
            [v, v] if isinstance(v, int) else list(v)
            for v in (pool.kernel_size, pool.stride, pool.padding, pool.dilation)
        )
        return torch.ops.aten.max_pool2d_with_indices_backward(  # type: ignore[no-any-return]
            c, self.x, kernel, stride, padding, dilation, pool.ceil_mode, self.winners
        )


def feature_at(feature: Feature | None, x: Tensor) -> FeatureAt:
    """Return `feature` (None: the identity) at x."""
    match feature:
        case None:
            return IdentityAt(x)
        case nn.ReLU():
            return ReluAt(x)
        case nn.AvgPool2d():
            return WindowAt(feature, x) if same_window(feature) is None else AverageAt(feature, x)
        case nn.MaxPool2d():
            return MaximumAt(feature, x)
