"""Give convolutions with fixed weights to kernels: 3x3 ones with the sum and ReLU behind them, 1x1 ones, the first."""

from __future__ import annotations

import copy
import operator
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.functional import relu

from advrush.kernels.small_conv import ImageConv, PointwiseConv
from advrush.kernels.winograd import WinogradConv, gains

ADDS = (operator.add, operator.iadd, torch.add)
RELUS = (torch.relu, torch.relu_, relu)
RELU_METHODS = ("relu", "relu_")
FEW = 4
"""Most channels of images, for which the library's gradient is slow."""


class FusedConvolution(nn.Module):
    """A 3x3 convolution with the weights that it has now, the map that is added to it, and a ReLU."""

    def __init__(self, convolution: nn.Conv2d, *, rectified: bool) -> None:
        super().__init__()
        self.convolution = copy.deepcopy(convolution).requires_grad_(False)
        self.rectified = rectified
        self.kernel = WinogradConv(convolution.weight, convolution.bias, relu=rectified)

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """Return the convolution of x (N, C, H, W), plus `residual` (N, C', H, W); on torch's operations elsewhere."""
        if self.kernel.applies(x, residual):
            return self.kernel(x, residual)
        y: Tensor = self.convolution(x)
        y = y if residual is None else y + residual
        return torch.relu(y) if self.rectified else y


class DirectConvolution(nn.Module):
    """A 1x1 convolution, or one of images, with the weights that it has now."""

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.convolution = copy.deepcopy(convolution).requires_grad_(False)
        weight, bias, stride = convolution.weight, convolution.bias, convolution.stride[0]
        self.kernel: PointwiseConv | ImageConv
        if convolution.kernel_size == (1, 1):
            self.kernel = PointwiseConv(weight, bias, stride)
        else:
            self.kernel = ImageConv(weight, bias, stride, int(convolution.padding[0]))

    def forward(self, x: Tensor) -> Tensor:
        """Return the convolution of x (N, C, H, W); on torch's operations where the kernel does not apply."""
        y: Tensor = self.kernel(x) if self.kernel.applies(x) else self.convolution(x)
        return y


def fuse(network: fx.GraphModule) -> int:
    """Replace the convolutions of a traced network that gain by it; return how many there were.

    Only nodes that nobody else reads are fused with what reads them.
    """
    count = 0
    for node in list(network.graph.nodes):
        module = _module(network, node)
        if type(module) is not nn.Conv2d or not _plain(module) or len(node.args) != 1 or node.kwargs:
            continue
        if _is_3x3(module) and gains(module.out_channels, module.in_channels):
            _replace(network, node)
        elif _is_direct(module):
            name = f"direct_{node.name}"
            network.add_submodule(name, DirectConvolution(module))
            node.target = name
        else:
            continue
        count += 1
    return count


def _plain(module: nn.Conv2d) -> bool:
    weight = module.weight
    here = weight.device.type == "cpu" and weight.dtype in (torch.float32, torch.float64)
    return here and module.padding_mode == "zeros" and module.groups == 1 and not _hooked(module)


def _is_3x3(module: nn.Conv2d) -> bool:
    same = module.stride == module.dilation == (1, 1) and module.padding in ((1, 1), "same")
    return module.kernel_size == (3, 3) and same


def _is_direct(module: nn.Conv2d) -> bool:
    """Return whether this is a 1x1 convolution, or a square one of few channels, alike in both directions."""
    if isinstance(module.padding, str) or module.dilation != (1, 1):
        return False
    if any(len(set(pair)) > 1 for pair in (module.kernel_size, module.stride, module.padding)):
        return False
    return module.padding == (0, 0) if module.kernel_size == (1, 1) else module.in_channels <= FEW


def _replace(network: fx.GraphModule, node: fx.Node) -> None:
    convolution = network.get_submodule(str(node.target))
    assert isinstance(convolution, nn.Conv2d)
    last: fx.Node = node
    inputs: tuple[Any, ...] = node.args
    residual = _added(node)
    if residual is not None:
        last, inputs = next(iter(node.users)), (node.args[0], residual)
    rectified = len(last.users) == 1 and _is_relu(network, next(iter(last.users)), last)
    last = next(iter(last.users)) if rectified else last
    name = f"fused_{node.name}"
    network.add_submodule(name, FusedConvolution(convolution, rectified=rectified))
    with network.graph.inserting_before(last):
        new = network.graph.call_module(name, inputs)
    last.replace_all_uses_with(new)
    for old in dict.fromkeys((last, *_before(last, node))):
        network.graph.erase_node(old)


def _before(last: fx.Node, node: fx.Node) -> list[fx.Node]:
    """Return the nodes from before `last` back to `node`, along the only reader of each."""
    between = []
    while node is not last:
        between.append(node)
        node = next(iter(node.users))
    return between[::-1]


def _added(node: fx.Node) -> fx.Node | None:
    """Return the other map of the sum that alone reads this one; None if there is none."""
    if len(node.users) != 1:
        return None
    reader = next(iter(node.users))
    if reader.op != "call_function" or reader.target not in ADDS or len(reader.args) != 2 or reader.kwargs:
        return None
    first, second = reader.args
    if first is second or (reader.target is operator.iadd and first is not node):  # `other += node` changes the other
        return None
    other = second if first is node else first
    return other if isinstance(other, fx.Node) else None


def _is_relu(network: fx.GraphModule, node: fx.Node, of: fx.Node) -> bool:
    if node.args != (of,) or any(name != "inplace" for name in node.kwargs):
        return False
    if node.op == "call_method":
        return node.target in RELU_METHODS
    if node.op == "call_function":
        return node.target in RELUS
    module = _module(network, node)
    return type(module) is nn.ReLU and not _hooked(module)


def _module(network: fx.GraphModule, node: fx.Node) -> nn.Module | None:
    return network.get_submodule(str(node.target)) if node.op == "call_module" else None


def _hooked(module: nn.Module) -> Any:
    return module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks
