"""Fuse 3x3 convolutions with the sum and the ReLU behind them into one kernel that multiplies less."""

from __future__ import annotations

import copy
import operator
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.functional import relu

from advrush.kernels.winograd import WinogradConv, gains

ADDS = (operator.add, operator.iadd, torch.add)
RELUS = (torch.relu, torch.relu_, relu)
RELU_METHODS = ("relu", "relu_")


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


def fuse(network: fx.GraphModule) -> int:
    """Replace the convolutions of a traced network that gain by it; return how many there were.

    Only nodes that nobody else reads are fused with what reads them.
    """
    found = [node for node in network.graph.nodes if _suits(network, node)]
    for node in found:
        _replace(network, node)
    return len(found)


def _suits(network: fx.GraphModule, node: fx.Node) -> bool:
    module = _module(network, node)
    return (
        type(module) is nn.Conv2d
        and module.kernel_size == (3, 3)
        and module.stride == module.dilation == (1, 1)
        and module.padding in ((1, 1), "same")
        and module.padding_mode == "zeros"
        and module.groups == 1
        and module.weight.device.type == "cpu"
        and module.weight.dtype in (torch.float32, torch.float64)
        and not _hooked(module)
        and len(node.args) == 1
        and not node.kwargs
        and gains(module.out_channels, module.in_channels)
    )


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
