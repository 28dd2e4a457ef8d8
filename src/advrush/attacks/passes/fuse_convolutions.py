"""Give convolutions with fixed weights to compiled kernels: with sums, ReLUs and pools, whole runs in one call."""

from __future__ import annotations

import copy
import operator
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx, nn
from torch.nn.functional import adaptive_avg_pool2d, avg_pool2d, relu

from advrush.kernels.conv_graph import ConvGraph, Convolution, Pool, is_quick
from advrush.space.operations import PointwiseConv

ADDS = (operator.add, operator.iadd, torch.add)
RELUS = (torch.relu, torch.relu_, relu)
CONVOLUTIONS = (nn.Conv2d, PointwiseConv)
"""Classes of which it is known what they compute; others may derive from them."""
RELU_METHODS = ("relu", "relu_")


class FusedConvolution(nn.Module):
    """A convolution with the weights that it has now, the map that is added to it, and a ReLU: part of a run."""

    def __init__(self, convolution: nn.Conv2d, *, padding: int, rectified: bool) -> None:
        super().__init__()
        self.convolution = copy.deepcopy(convolution).requires_grad_(False)
        self.padding, self.rectified = padding, rectified

    def layer(self, source: int, residual: int | None = None) -> Convolution:
        """Return what the kernels need to know."""
        own = self.convolution
        return Convolution(own.weight, own.bias, own.stride[0], self.padding, source, residual, self.rectified)


class FusedPool(NamedTuple):
    """An average pool of windows that do not overlap, of one side or as many as make an output of one side."""

    window: int | None
    side: int | None

    def layer(self, source: int) -> Pool:
        """Return what the kernels need to know."""
        return Pool(source, self.window, self.side)


Fused = FusedConvolution | FusedPool


class FusedRun(nn.Module):
    """Convolutions and pools that follow each other without another operation between them, in one call."""

    def __init__(self, parts: list[Fused], graph: ConvGraph) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(part for part in parts if isinstance(part, FusedConvolution))
        self.graph = graph

    def forward(self, *given: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Return the map, or the maps, that others read; on torch's operations where the kernels do not apply."""
        maps = self.graph(*given) if self.graph.applies(*given) else self.graph.plainly(*given)
        return maps if len(maps) > 1 else maps[0]


def fuse(network: fx.GraphModule) -> int:
    """Replace the convolutions of a traced network that gain by it; return how many there were.

    Only nodes that nobody else reads are fused with what reads them.
    """
    fused: dict[fx.Node, Fused] = {}
    for node in list(network.graph.nodes):
        module = known_convolution(_module(network, node))
        if module is not None and len(node.args) == 1 and not node.kwargs:
            padding = _padding(module)
            if padding is not None and _plain(module) and is_quick(module.weight, module.stride[0], padding):
                new, convolution = _replace(network, node, module, padding)
                fused[new] = convolution
    count, run = len(fused), list[fx.Node]()
    for node in list(network.graph.nodes):  # the last is the output, which ends a run
        pool = _pool(network, node) if node.args and node.args[0] in run else None
        if pool is not None:
            fused[node] = pool
        if node in fused:
            run.append(node)
        elif node.op not in ("placeholder", "get_attr") and run:
            _join(network, run, fused)
            run = []
    return count


def known_convolution(module: nn.Module | None) -> nn.Conv2d | None:
    """Return a module that computes what `nn.Conv2d` does; None for any other, classes derived from it included."""
    return module if isinstance(module, nn.Conv2d) and type(module) in CONVOLUTIONS else None


def _join(network: fx.GraphModule, run: list[fx.Node], fused: dict[fx.Node, Fused]) -> None:
    """Make one node of those of a run, between which nothing else is computed."""
    read = {node: [each for each in node.args if isinstance(each, fx.Node)] for node in run}
    given = list(dict.fromkeys(each for node in run for each in read[node] if each not in run))
    state = {each: k for k, each in enumerate([*given, *run])}
    outputs = [node for node in run if any(user not in run for user in node.users)]
    parts = [fused[node] for node in run]
    layers = [part.layer(*(state[each] for each in read[node])) for part, node in zip(parts, run, strict=True)]
    name = f"run_{run[0].name}"
    network.add_submodule(name, FusedRun(parts, ConvGraph(layers, len(given), [state[node] for node in outputs])))
    with network.graph.inserting_before(run[-1]):
        new = network.graph.call_module(name, tuple(given))
        several = len(outputs) > 1
        for i, node in enumerate(outputs):
            each = network.graph.call_function(operator.getitem, (new, i)) if several else new
            node.replace_all_uses_with(each, delete_user_cb=lambda user: user not in run)
    for node in reversed(run):
        network.graph.erase_node(node)


def _plain(module: nn.Conv2d) -> bool:
    weight = module.weight
    here = weight.device.type == "cpu" and weight.dtype in (torch.float32, torch.float64)
    return here and module.padding_mode == "zeros" and module.groups == 1 and not _hooked(module)


def _padding(module: nn.Conv2d) -> int | None:
    """Return the border of a convolution that is alike in both directions and not dilated, None for any other."""
    if module.dilation != (1, 1) or len(set(module.kernel_size)) > 1 or len(set(module.stride)) > 1:
        return None
    if isinstance(module.padding, str):
        same = {"valid": 0, "same": module.kernel_size[0] // 2 if module.kernel_size[0] % 2 else None}
        return same[module.padding]
    return int(module.padding[0]) if len(set(module.padding)) == 1 else None


def _replace(
    network: fx.GraphModule, node: fx.Node, convolution: nn.Conv2d, padding: int
) -> tuple[fx.Node, FusedConvolution]:
    """Put a fused convolution in the place of a convolution, the sum and the ReLU behind it; return both."""
    last: fx.Node = node
    inputs: tuple[Any, ...] = node.args
    residual = _added(node)
    if residual is not None:
        last, inputs = next(iter(node.users)), (node.args[0], residual)
    rectified = len(last.users) == 1 and _is_relu(network, next(iter(last.users)), last)
    last = next(iter(last.users)) if rectified else last
    fused = FusedConvolution(convolution, padding=padding, rectified=rectified)
    name = f"fused_{node.name}"
    network.add_submodule(name, fused)
    with network.graph.inserting_before(last):
        new = network.graph.call_module(name, inputs)
    last.replace_all_uses_with(new)
    for old in dict.fromkeys((last, *_before(last, node))):
        network.graph.erase_node(old)
    return new, fused


def _pool(network: fx.GraphModule, node: fx.Node) -> FusedPool | None:
    """Return the average pool that a node is, None for any other operation and for windows that overlap."""
    module = _module(network, node)
    if isinstance(module, nn.Module) and not _hooked(module) and len(node.args) == 1 and not node.kwargs:
        if type(module) is nn.AdaptiveAvgPool2d:
            side = _one(module.output_size)
            return None if side is None else FusedPool(None, side)
        if type(module) is nn.AvgPool2d:
            window, step, border = (_one(size) for size in (module.kernel_size, module.stride, module.padding))
            plain = window is not None and window == step and border == 0 and module.divisor_override is None
            return FusedPool(window, None) if plain and not module.ceil_mode else None
    if node.op == "call_function" and len(node.args) == 2 and not node.kwargs:
        size = _one(node.args[1])
        if size is not None and node.target in (avg_pool2d, adaptive_avg_pool2d):
            return FusedPool(size, None) if node.target is avg_pool2d else FusedPool(None, size)
    return None


def _one(size: Any) -> int | None:
    """Return a size that is alike in both directions, None for any other."""
    sizes = list(size) if isinstance(size, (tuple, list)) else [size]
    alike = len(sizes) > 0 and all(isinstance(each, int) and each == sizes[0] for each in sizes)
    return sizes[0] if alike and sizes[0] > 0 else None


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
