"""ResNet-18 and DenseNet-121 in their CIFAR form: a 3 x 3 stem of stride 1 and no pooling after it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, avg_pool2d, relu

from advrush.config import MOST_CHANNELS, check_between
from advrush.space.operations import PointwiseConv


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions and a shortcut, which is a 1 x 1 convolution where the size changes."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.shortcut = nn.Sequential()
        if stride != 1 or channels_in != channels:
            self.shortcut = nn.Sequential(
                PointwiseConv(channels_in, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Return the rectified sum of the residual and the shortcut."""
        residual = self.bn2(self.conv2(relu(self.bn1(self.conv1(x)))))
        return relu(residual + self.shortcut(x))


class ResNet(nn.Module):
    """A CIFAR ResNet of basic blocks; stage i has `width` * 2**i channels. (2, 2, 2, 2) is ResNet-18."""

    def __init__(
        self,
        blocks: Sequence[int] = (2, 2, 2, 2),
        width: int = 64,
        num_classes: int = 10,
        *,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        check_between("width", width, MOST_CHANNELS)
        self.conv1 = nn.Conv2d(in_channels, width, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        channels_in = width
        self._stages = [f"layer{stage + 1}" for stage in range(len(blocks))]
        for stage, (name, count) in enumerate(zip(self._stages, blocks, strict=True)):
            layer = nn.Sequential()
            for block in range(count):
                stride = 2 if stage > 0 and block == 0 else 1
                layer.append(BasicBlock(channels_in, width * 2**stage, stride))
                channels_in = width * 2**stage
            self.add_module(name, layer)
        self.linear = nn.Linear(channels_in, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (N, num_classes) of (N, in_channels, H, W)."""
        x = relu(self.bn1(self.conv1(x)))
        for name in self._stages:
            x = self.get_submodule(name)(x)
        return self.linear(adaptive_avg_pool2d(x, 1).flatten(1))  # type: ignore[no-any-return]


class Bottleneck(nn.Module):
    """A dense layer: 1 x 1 then 3 x 3 convolution, each after norm and ReLU; its maps precede x's."""

    def __init__(self, channels_in: int, growth: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(channels_in)
        self.conv1 = nn.Conv2d(channels_in, 4 * growth, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(4 * growth)
        self.conv2 = nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, channels_in + growth, H, W)."""
        new = self.conv2(relu(self.bn2(self.conv1(relu(self.bn1(x))))))
        return torch.cat([new, x], dim=1)


class Transition(nn.Module):
    """Between dense blocks: half the channels, half the image."""

    def __init__(self, channels_in: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(channels_in)
        self.conv = nn.Conv2d(channels_in, channels_in // 2, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, channels_in // 2, ceil(H / 2), ceil(W / 2))."""
        return avg_pool2d(self.conv(relu(self.bn(x))), 2, ceil_mode=True)


class DenseNet(nn.Module):
    """A CIFAR DenseNet-BC whose layers add `width` channels each. (6, 12, 24, 16) is DenseNet-121."""

    def __init__(
        self,
        blocks: Sequence[int] = (6, 12, 24, 16),
        width: int = 32,
        num_classes: int = 10,
        *,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        check_between("width", width, MOST_CHANNELS)
        channels = 2 * width
        self.conv1 = nn.Conv2d(in_channels, channels, 3, padding=1, bias=False)
        self._stages: list[str] = []
        for stage, count in enumerate(blocks):
            if stage > 0:
                self._add(f"trans{stage}", Transition(channels))
                channels //= 2
            layers = [Bottleneck(channels + layer * width, width) for layer in range(count)]
            self._add(f"dense{stage + 1}", nn.Sequential(*layers))
            channels += count * width
        self.bn = nn.BatchNorm2d(channels)
        self.linear = nn.Linear(channels, num_classes)

    def _add(self, name: str, module: nn.Module) -> None:
        self.add_module(name, module)
        self._stages.append(name)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (N, num_classes) of (N, in_channels, H, W)."""
        x = self.conv1(x)
        for name in self._stages:
            x = self.get_submodule(name)(x)
        return self.linear(adaptive_avg_pool2d(relu(self.bn(x)), 1).flatten(1))  # type: ignore[no-any-return]
