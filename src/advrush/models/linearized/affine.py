"""Convolutions and batch norm with fixed statistics, folded into one affine map with its transpose."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d
from torch.nn.grad import conv2d_input

from advrush.kernels import depthwise_conv as depthwise
from advrush.models.fused.conv_chain import Stage
from advrush.models.fused.layers import even_and_odd, is_depthwise
from advrush.space.operations import FactorizedReduce


class Affine:
    """The map x -> A x + b of a stage: the scale of its batch norm is folded into the last convolution.

    `transpose` needs to know the size of x: it is that of the x last mapped.
    """

    def __init__(self, stage: Stage) -> None:
        scale, self.bias = _scale_and_shift(stage)
        last = len(stage.layers) - 1
        self._maps = [_linear(layer, scale if i == last else None) for i, layer in enumerate(stage.layers)]
        self._scale = None if scale is None or stage.layers else scale.view(1, -1, 1, 1)

    def __call__(self, x: Tensor) -> Tensor:
        """Return A x + b."""
        if self._scale is not None:
            return torch.addcmul(self.bias.view(1, -1, 1, 1), x, self._scale)
        for linear in self._maps[:-1]:
            x = linear(x, None)
        return self._maps[-1](x, self.bias)

    def linear(self, x: Tensor) -> Tensor:
        """Return A x."""
        if self._scale is not None:
            return x * self._scale
        for linear in self._maps:
            x = linear(x, None)
        return x

    def transpose(self, y: Tensor) -> Tensor:
        """Return A^T y."""
        if self._scale is not None:
            return y * self._scale
        for linear in reversed(self._maps):
            y = linear.transpose(y)
        return y


class _Depthwise:
    def __init__(self, layer: nn.Conv2d, scale: Tensor | None) -> None:
        self.weight = _scaled(layer.weight, scale)
        self.turned = self.weight.flip(2, 3)
        self.shape = depthwise.Shape(layer.kernel_size[0], layer.stride[0], layer.dilation[0], 0, 0)

    def __call__(self, x: Tensor, bias: Tensor | None) -> Tensor:
        self.shape = self.shape._replace(height=x.shape[2], width=x.shape[3])
        return depthwise.convolve(x, self.weight, self.shape, bias)

    def transpose(self, y: Tensor) -> Tensor:
        return depthwise.adjoint(y, self.turned, self.shape)


class _Dense:
    def __init__(self, layer: nn.Conv2d, scale: Tensor | None) -> None:
        self.layer, self.weight = layer, _scaled(layer.weight, scale)
        self.size: tuple[int, ...] = ()
        windows = zip(layer.dilation, layer.kernel_size, strict=True)
        same = layer.padding == tuple(d * (k // 2) for d, k in windows if k % 2)
        self.turned = None
        if layer.groups == 1 and layer.stride == (1, 1) and same:
            self.turned = self.weight.flip(2, 3).transpose(0, 1).contiguous()

    def __call__(self, x: Tensor, bias: Tensor | None) -> Tensor:
        layer, self.size = self.layer, tuple(x.shape)
        return conv2d(x, self.weight, bias, layer.stride, layer.padding, layer.dilation, layer.groups)

    def transpose(self, y: Tensor) -> Tensor:
        layer = self.layer
        if self.turned is not None:
            return conv2d(y, self.turned, None, 1, layer.padding, layer.dilation)
        size = (y.shape[0], *self.size[1:])
        args = (layer.stride, layer.padding, layer.dilation, layer.groups)
        return conv2d_input(size, self.weight, y, *args)  # type: ignore[no-any-return, no-untyped-call]


class _Halves:
    def __init__(self, layer: FactorizedReduce, scale: Tensor | None) -> None:
        split = layer.conv_1.out_channels
        first, second = (None, None) if scale is None else (scale[:split], scale[split:])
        self.split = split
        self.first, self.second = _scaled(layer.conv_1.weight, first), _scaled(layer.conv_2.weight, second)
        self.size: tuple[int, ...] = ()

    def __call__(self, x: Tensor, bias: Tensor | None) -> Tensor:
        self.size = tuple(x.shape)
        even, odd = even_and_odd(x)
        low, high = (None, None) if bias is None else (bias[: self.split], bias[self.split :])
        return torch.cat([conv2d(even, self.first, low), conv2d(odd, self.second, high)], dim=1)

    def transpose(self, y: Tensor) -> Tensor:
        even = conv2d(y[:, : self.split], self.first.transpose(0, 1))
        odd = conv2d(y[:, self.split :], self.second.transpose(0, 1))
        x = depthwise.zeros_like_layout(even, self.size[2], self.size[3])
        x[:, :, ::2, ::2] = even
        height, width = self.size[2] // 2, self.size[3] // 2
        x[:, :, 1::2, 1::2] = odd[:, :, :height, :width]
        return x


def _scale_and_shift(stage: Stage) -> tuple[Tensor | None, Tensor]:
    """Return batch norm with its running statistics as scale and shift (C,); no scale and zeros where there is none."""
    norm = stage.norm
    if norm is None:
        last = stage.layers[-1]
        assert isinstance(last, nn.Conv2d), "a factorized reduce ends in its batch norm"
        return None, last.weight.new_zeros(last.out_channels).detach()
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = (norm.running_var + norm.eps).rsqrt()
    if norm.affine:
        scale = scale * norm.weight.detach()
    shift = -norm.running_mean * scale
    return scale, shift + norm.bias.detach() if norm.affine else shift


def _linear(layer: nn.Conv2d | FactorizedReduce, scale: Tensor | None) -> _Depthwise | _Dense | _Halves:
    if isinstance(layer, FactorizedReduce):
        return _Halves(layer, scale)
    return _Depthwise(layer, scale) if is_depthwise(layer) else _Dense(layer, scale)


def _scaled(weight: Tensor, scale: Tensor | None) -> Tensor:
    weight = weight.detach()
    return weight if scale is None else weight * scale.view(-1, 1, 1, 1)


def fold(stages: Sequence[Stage]) -> list[Affine]:
    """Return the affine maps of a chain's stages at the present weights and running statistics."""
    return [Affine(stage) for stage in stages]
