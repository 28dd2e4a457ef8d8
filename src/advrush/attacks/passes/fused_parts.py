"""What stands in a network under attack in the place of its convolutions: parts of runs, and runs as one call."""

from __future__ import annotations

import copy
from typing import NamedTuple

from torch import Tensor, nn

from advrush.kernels.conv_graph import ConvGraph
from advrush.kernels.conv_layers import Convolution, Norm, Pool


class FusedConvolution(nn.Module):
    """A convolution with the weights that it has now, the map that is added to it, and a ReLU: part of a run."""

    def __init__(self, convolution: nn.Conv2d, padding: int, *, rectified: bool) -> None:
        super().__init__()
        self.convolution = copy.deepcopy(convolution).requires_grad_(False)
        self.padding, self.rectified = padding, rectified

    def layer(self, source: int, residual: int | None = None) -> Convolution:
        """Return what the kernels need to know."""
        own = self.convolution
        return Convolution(own.weight, own.bias, own.stride[0], self.padding, source, residual, self.rectified)


class FusedNorm(nn.Module):
    """A batch norm with the statistics that it has now, which no convolution took in, and a ReLU: part of a run."""

    def __init__(self, norm: nn.BatchNorm2d, *, rectified: bool) -> None:
        super().__init__()
        self.norm = copy.deepcopy(norm).requires_grad_(False)
        self.rectified = rectified

    def layer(self, source: int) -> Norm:
        """Return what the kernels need to know."""
        own = self.norm
        assert own.running_mean is not None
        assert own.running_var is not None
        return Norm(own.running_mean, own.running_var, own.weight, own.bias, own.eps, source, self.rectified)


class FusedPool(NamedTuple):
    """An average pool of windows that do not overlap, of one side or as many as make an output of one side."""

    window: int | None
    side: int | None

    def layer(self, source: int) -> Pool:
        """Return what the kernels need to know."""
        return Pool(source, self.window, self.side)


Fused = FusedConvolution | FusedNorm | FusedPool


class FusedRun(nn.Module):
    """Convolutions, norms and pools that follow each other without another operation between them, in one call."""

    def __init__(self, parts: list[Fused], graph: ConvGraph) -> None:
        super().__init__()
        self.parts = nn.ModuleList(part for part in parts if isinstance(part, nn.Module))
        self.graph = graph

    def forward(self, *given: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Return the map, or the maps, that others read; on torch's operations where the kernels do not apply."""
        maps = self.graph(*given) if self.graph.applies(*given) else self.graph.plainly(*given)
        return maps if len(maps) > 1 else maps[0]
