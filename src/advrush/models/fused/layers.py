"""Convolutions of a chain under autograd, by faster kernels where available."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, pad

from advrush.kernels.depthwise_conv import depthwise_conv2d, zeros_like_layout
from advrush.space.operations import FactorizedReduce


def is_depthwise(layer: nn.Module) -> bool:
    """Tell whether `layer` is a depthwise convolution with an odd square filter and `same` zero padding."""
    if not isinstance(layer, nn.Conv2d) or not layer.groups == layer.in_channels == layer.out_channels > 1:
        return False
    (kernel, width), (stride, across), (dilation, other) = layer.kernel_size, layer.stride, layer.dilation
    square = kernel == width and stride == across and dilation == other and kernel % 2 == 1
    padding = dilation * (kernel // 2)
    return square and layer.padding == (padding, padding) and layer.padding_mode == "zeros" and layer.bias is None


def is_pointwise(layer: nn.Module) -> bool:
    """Tell whether `layer` is a 1x1 convolution of stride 1 without bias, padding or groups."""
    if not isinstance(layer, nn.Conv2d) or layer.bias is not None:
        return False
    return layer.kernel_size == layer.stride == (1, 1) and layer.groups == 1 and layer.padding == (0, 0)


def convolved(layer: nn.Conv2d | FactorizedReduce, x: Tensor) -> Tensor:
    """Run one layer of a stage under autograd."""
    if isinstance(layer, FactorizedReduce):
        return joined_halves(layer, *even_and_odd(x))
    if is_depthwise(layer):
        return depthwise_conv2d(x, layer.weight, stride=layer.stride[0], dilation=layer.dilation[0])
    return layer(x)  # type: ignore[no-any-return]


def joined_halves(layer: FactorizedReduce, even: Tensor, odd: Tensor) -> Tensor:
    """Run the two 1x1 convolutions of a factorized reduce on the even and the odd pixels of its input."""
    return torch.cat([conv2d(even, layer.conv_1.weight), conv2d(odd, layer.conv_2.weight)], dim=1)


def even_and_odd(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the pixels (0, 0), (0, 2), ... and (1, 1), (1, 3), ... of x; past an odd edge the second are zero."""
    return cast(tuple[Tensor, Tensor], _EvenAndOdd.apply(x))  # type: ignore[no-untyped-call]


class _EvenAndOdd(torch.autograd.Function):
    """Dense copies; the backward pass fills one map, where slices would fill one for each."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        height, width = ctx.size = x.shape[-2:]
        last = x.is_contiguous(memory_format=torch.channels_last)
        whole = pad(x, (0, width % 2, 0, height % 2)) if height % 2 or width % 2 else x
        layout = torch.channels_last if last else torch.contiguous_format
        even, odd = x[:, :, ::2, ::2], whole[:, :, 1::2, 1::2]
        return even.contiguous(memory_format=layout), odd.contiguous(memory_format=layout)

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> Tensor:
        even, odd = cotangents
        return interleaved(even, odd, ctx.size)


def interleaved(even: Tensor, odd: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the map of height and width `size` with these pixels, zero elsewhere: the transpose of `even_and_odd`."""
    x = zeros_like_layout(even, *size)
    x[:, :, ::2, ::2] = even
    x[:, :, 1::2, 1::2] = odd[:, :, : size[0] // 2, : size[1] // 2]
    return x
