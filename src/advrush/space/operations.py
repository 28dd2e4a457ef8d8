"""The primitives as modules, with the parameter names of the published DARTS code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, pad

from advrush.config import did_you_mean
from advrush.errors import GenotypeError


class ReLUConvBN(nn.Module):
    """Rectify, convolve, normalize: (N, channels_in, H, W) to (N, channels_out, H / stride, W / stride)."""

    def __init__(
        self, channels_in: int, channels_out: int, kernel: int = 1, *, stride: int = 1, affine: bool = True
    ) -> None:
        super().__init__()
        self.op = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(channels_in, channels_out, kernel, stride, kernel // 2, bias=False),
            nn.BatchNorm2d(channels_out, affine=affine),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalized map."""
        return self.op(x)  # type: ignore[no-any-return]


class PointwiseConv(nn.Conv2d):
    """A 1x1 convolution of any stride, computed with stride 1 on the pixels that the stride keeps.

    The same map. With fewer than 8 input channels in channels_last, oneDNN's own weight gradient of a strided 1x1
    convolution writes past its buffer on CPUs without AVX-512 (torch 2.13 with oneDNN 3.12) and ends the process.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels_in, H, W) to (N, channels_out, ceil(H / stride), ceil(W / stride))."""
        down, across = self.stride
        return conv2d(x[:, :, ::down, ::across], self.weight, self.bias)


class FactorizedReduce(nn.Module):
    """Halve the image by two 1x1 convolutions of stride 2, the second one shifted by a pixel.

    An odd side H gives (H + 1) / 2, as the other primitives do: the shifted half reads zeros past the edge.
    """

    def __init__(self, channels_in: int, channels_out: int, affine: bool = True) -> None:
        super().__init__()
        half = channels_out // 2
        self.relu = nn.ReLU()
        self.conv_1 = PointwiseConv(channels_in, half, 1, stride=2, bias=False)
        self.conv_2 = PointwiseConv(channels_in, channels_out - half, 1, stride=2, bias=False)
        self.bn = nn.BatchNorm2d(channels_out, affine=affine)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, channels_out, ceil(H / 2), ceil(W / 2))."""
        x = self.relu(x)
        height, width = x.shape[-2:]
        shifted = x[:, :, 1:, 1:]
        if height % 2 or width % 2:
            shifted = pad(shifted, (0, width % 2, 0, height % 2))
        return self.bn(torch.cat([self.conv_1(x), self.conv_2(shifted)], dim=1))  # type: ignore[no-any-return]


class SepConv(nn.Module):
    """A depthwise-separable convolution, twice; the first one takes the stride."""

    def __init__(self, channels: int, kernel: int, stride: int, affine: bool = True) -> None:
        super().__init__()
        self.op = nn.Sequential(*_separable(channels, kernel, stride, 1, affine),
                                *_separable(channels, kernel, 1, 1, affine))  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalized map."""
        return self.op(x)  # type: ignore[no-any-return]


class DilConv(nn.Module):
    """A depthwise-separable convolution with dilation 2."""

    def __init__(self, channels: int, kernel: int, stride: int, affine: bool = True) -> None:
        super().__init__()
        self.op = nn.Sequential(*_separable(channels, kernel, stride, 2, affine))

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalized map."""
        return self.op(x)  # type: ignore[no-any-return]


class SumOfBranches(nn.Module):
    """The sum of what its `branches` make of the same input."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        """Return the sum, in the order of the branches."""
        total: Tensor = self.branches[0](x)
        for branch in self.branches[1:]:
            total = total + branch(x)
        return total


class Zero(nn.Module):
    """The primitive `none`: zeros of the right size."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Return zeros; also where `x` is not finite."""
        return torch.zeros_like(x[:, :, :: self.stride, :: self.stride])


def _separable(channels: int, kernel: int, stride: int, dilation: int, affine: bool) -> list[nn.Module]:
    padding = dilation * (kernel // 2)
    return [
        nn.ReLU(),
        nn.Conv2d(channels, channels, kernel, stride, padding, dilation, groups=channels, bias=False),
        nn.Conv2d(channels, channels, 1, bias=False),
        nn.BatchNorm2d(channels, affine=affine),
    ]


def _skip(channels: int, stride: int, affine: bool) -> nn.Module:
    return nn.Identity() if stride == 1 else FactorizedReduce(channels, channels, affine)


def _nor_conv(channels: int, kernel: int, stride: int, affine: bool) -> nn.Module:
    return ReLUConvBN(channels, channels, kernel, stride=stride, affine=affine)


def _conv_7x1_1x7(channels: int, stride: int, affine: bool) -> nn.Module:
    return nn.Sequential(
        nn.ReLU(),
        nn.Conv2d(channels, channels, (1, 7), (1, stride), (0, 3), bias=False),
        nn.Conv2d(channels, channels, (7, 1), (stride, 1), (3, 0), bias=False),
        nn.BatchNorm2d(channels, affine=affine),
    )


OPERATIONS: Mapping[str, Callable[[int, int, bool], nn.Module]] = MappingProxyType(
    {
        "none": lambda channels, stride, affine: Zero(stride),
        "max_pool_3x3": lambda channels, stride, affine: nn.MaxPool2d(3, stride, padding=1),
        "avg_pool_3x3": lambda channels, stride, affine: nn.AvgPool2d(3, stride, padding=1, count_include_pad=False),
        "skip_connect": _skip,
        "sep_conv_3x3": lambda channels, stride, affine: SepConv(channels, 3, stride, affine),
        "sep_conv_5x5": lambda channels, stride, affine: SepConv(channels, 5, stride, affine),
        "sep_conv_7x7": lambda channels, stride, affine: SepConv(channels, 7, stride, affine),
        "dil_conv_3x3": lambda channels, stride, affine: DilConv(channels, 3, stride, affine),
        "dil_conv_5x5": lambda channels, stride, affine: DilConv(channels, 5, stride, affine),
        "conv_7x1_1x7": _conv_7x1_1x7,
        "nor_conv_1x1": lambda channels, stride, affine: _nor_conv(channels, 1, stride, affine),
        "nor_conv_3x3": lambda channels, stride, affine: _nor_conv(channels, 3, stride, affine),
    }
)
"""Primitive name to constructor (channels, stride, affine)."""


def _residual(channels_in: int, channels_out: int, stride: int, affine: bool) -> nn.Module:
    """Return the residual block of NAS-Bench-201: two ReLU-conv-BN, beside an average pool and a 1x1 convolution.

    It is the same in a supernet and in a derived network: its batch norms always have affine parameters there.
    """
    main = nn.Sequential(
        ReLUConvBN(channels_in, channels_out, 3, stride=stride), ReLUConvBN(channels_out, channels_out, 3)
    )
    if stride == 1 and channels_in == channels_out:
        return SumOfBranches(nn.Identity(), main)
    shortcut: list[nn.Module] = []
    if stride > 1:  # an odd side gives (side + 1) / 2, as the convolutions do
        shortcut.append(nn.AvgPool2d(stride, stride, ceil_mode=True, count_include_pad=False))
    return SumOfBranches(nn.Sequential(*shortcut, nn.Conv2d(channels_in, channels_out, 1, bias=False)), main)


BLOCKS: Mapping[str, Callable[[int, int, int, bool], nn.Module]] = MappingProxyType({"residual": _residual})
"""Fixed block name to constructor (channels_in, channels_out, stride, affine)."""


def block(
    name: str,
    channels_in: int,
    channels_out: int,
    stride: int,
    *,
    affine: bool = True,
    own: Mapping[str, Callable[[int, int, int, bool], nn.Module]] | None = None,
) -> nn.Module:
    """Build a fixed block; `own` holds blocks of the space at hand. Raises GenotypeError for an unknown name."""
    known = {**BLOCKS, **(own or {})}
    if name not in known:
        raise GenotypeError(f"unknown block {name!r}{did_you_mean(name, known)}")
    return known[name](channels_in, channels_out, stride, affine)


def operation(
    primitive: str,
    channels: int,
    stride: int,
    *,
    affine: bool = True,
    pool_norm: bool = False,
    own: Mapping[str, Callable[[int, int, bool], nn.Module]] | None = None,
) -> nn.Module:
    """Build a primitive; `pool_norm` puts batch norm without affine after a pool, as in the supernet.

    `own` holds primitives of the space at hand (`Space.operations`), which come before the common ones.
    Raises GenotypeError, with a suggestion, for an unknown name.
    """
    known = {**OPERATIONS, **(own or {})}
    if primitive not in known:
        raise GenotypeError(f"unknown primitive {primitive!r}{did_you_mean(primitive, known)}")
    module = known[primitive](channels, stride, affine)
    if pool_norm and isinstance(module, nn.MaxPool2d | nn.AvgPool2d):
        return nn.Sequential(module, nn.BatchNorm2d(channels, affine=False))
    return module
