"""ReLU and pooling linearized at x: forward value, JVP and VJP."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d, relu

from advrush.kernels import depthwise_conv as depthwise
from advrush.kernels.avg_pool import box, same_window
from advrush.models.fused.conv_chain import Feature


def masked(t: Tensor, mask: Tensor) -> Tensor:
    """Return t where `mask` is positive, zero elsewhere: what the derivative of a ReLU does with t."""
    return torch.ops.aten.threshold_backward(t, mask, 0)  # type: ignore[no-any-return]


class LinearizedFeature(ABC):
    """A piecewise linear map linearized at x (N, C, H, W), channels last."""

    value: Tensor
    """Its output at x."""

    @abstractmethod
    def jvp(self, t: Tensor) -> Tensor:
        """Return J t for a tangent t of the shape of x, J being the Jacobian at x."""

    @abstractmethod
    def vjp(self, c: Tensor) -> Tensor:
        """Return J^T c for a cotangent c of the shape of the value."""


class LinearizedIdentity(LinearizedFeature):
    """The identity."""

    def __init__(self, x: Tensor) -> None:
        self.value = x

    def jvp(self, t: Tensor) -> Tensor:
        """Return t."""
        return t

    def vjp(self, c: Tensor) -> Tensor:
        """Return c."""
        return c


class LinearizedReLU(LinearizedFeature):
    """The positive part; its derivative at 0 is 0, as autograd has it."""

    def __init__(self, x: Tensor, *, inplace: bool = False) -> None:
        self.value = x.relu_() if inplace else relu(x)

    def jvp(self, t: Tensor) -> Tensor:
        """Return t where x is positive."""
        return masked(t, self.value)

    def vjp(self, c: Tensor) -> Tensor:
        """Return c where x is positive."""
        return self.jvp(c)


class LinearizedAvgPool(LinearizedFeature):
    """An average pool of a `same` window that counts no padding, as a depthwise convolution with ones, then a scale."""

    def __init__(self, pool: nn.AvgPool2d, x: Tensor) -> None:
        window = same_window(pool)
        assert window is not None, "another window is LinearizedOtherAvgPool's"
        self.ones, self.scale = box(*window, x)
        self.shape = depthwise.Shape(*window, 1, x.shape[2], x.shape[3])
        self.value = self.jvp(x)

    def jvp(self, t: Tensor) -> Tensor:
        """Return the average of t."""
        return depthwise.convolve(t, self.ones, self.shape).mul_(self.scale)

    def vjp(self, c: Tensor) -> Tensor:
        """Return c spread over the windows."""
        return depthwise.adjoint(c * self.scale, self.ones, self.shape)


class LinearizedOtherAvgPool(LinearizedFeature):
    """Any other average pool."""

    def __init__(self, pool: nn.AvgPool2d, x: Tensor) -> None:
        self.pool, self.x, self.value = pool, x, pool(x)

    def jvp(self, t: Tensor) -> Tensor:
        """Return the average of t."""
        return self.pool(t)  # type: ignore[no-any-return]

    def vjp(self, c: Tensor) -> Tensor:
        """Return c spread over the windows."""
        pool = self.pool
        kernel, stride, padding = (
            [v, v] if isinstance(v, int) else list(v) for v in (pool.kernel_size, pool.stride, pool.padding)
        )
        return torch.ops.aten.avg_pool2d_backward(  # type: ignore[no-any-return]
            c, self.x, kernel, stride, padding, pool.ceil_mode, pool.count_include_pad, pool.divisor_override
        )


class LinearizedMaxPool(LinearizedFeature):
    """A max pool; it keeps the index of each window's largest pixel."""

    def __init__(self, pool: nn.MaxPool2d, x: Tensor) -> None:
        self.pool, self.x = pool, x
        self.value, self.indices = max_pool2d(
            x, pool.kernel_size, pool.stride, pool.padding, pool.dilation, pool.ceil_mode, return_indices=True
        )

    def jvp(self, t: Tensor) -> Tensor:
        """Return t at the largest pixel of each window."""
        n, c, height, width = self.value.shape
        pixels = self.indices.permute(0, 2, 3, 1).reshape(n, height * width, c)
        chosen = t.permute(0, 2, 3, 1).reshape(n, -1, c).gather(1, pixels)
        return chosen.view(n, height, width, c).permute(0, 3, 1, 2)

    def vjp(self, c: Tensor) -> Tensor:
        """Return c at the largest pixel of each window, summed where windows share it, zero elsewhere."""
        pool = self.pool
        kernel, stride, padding, dilation = (
            [v, v] if isinstance(v, int) else list(v)
            for v in (pool.kernel_size, pool.stride, pool.padding, pool.dilation)
        )
        return torch.ops.aten.max_pool2d_with_indices_backward(  # type: ignore[no-any-return]
            c, self.x, kernel, stride, padding, dilation, pool.ceil_mode, self.indices
        )


def linearize(feature: Feature | None, x: Tensor) -> LinearizedFeature:
    """Return `feature` (None: the identity) linearized at x."""
    match feature:
        case None:
            return LinearizedIdentity(x)
        case nn.ReLU():
            return LinearizedReLU(x)
        case nn.AvgPool2d():
            return LinearizedOtherAvgPool(feature, x) if same_window(feature) is None else LinearizedAvgPool(feature, x)
        case nn.MaxPool2d():
            return LinearizedMaxPool(feature, x)
