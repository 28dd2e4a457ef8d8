"""Give convolutions with fixed weights to compiled kernels: with sums, ReLUs and pools, whole runs in one call."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.functional import adaptive_avg_pool2d, avg_pool2d, relu

from advrush.attacks.passes.fused_parts import Fused, FusedConvolution, FusedNorm, FusedPool, FusedRun
from advrush.kernels.conv_graph import ConvGraph
from advrush.kernels.conv_layers import is_quick
from advrush.space.operations import PointwiseConv

ADDS = (operator.add, operator.iadd, torch.add)
RELUS = (torch.relu, torch.relu_, relu)
CONVOLUTIONS = (nn.Conv2d, PointwiseConv)
"""Classes of which it is known what they compute; others may derive from them."""
RELU_METHODS = ("relu", "relu_")


def fuse(network: fx.GraphModule) -> int:
    """Replace the convolutions of a traced network that gain by it; return how many there were.

    Only nodes that nobody else reads are fused with what reads them.
    """
    fused: dict[fx.Node, Fused] = {}
    for node in list(network.graph.nodes):
        module = _module(network, node)
        if module is None or len(node.args) != 1 or node.kwargs:
            continue
        if (convolution := _gaining(module)) is not None:
            covered, residual, rectified = _behind(network, node, sums=True)
            part = FusedConvolution(*convolution, rectified=rectified)
            fused[_replace(network, covered, part, residual)] = part
        elif (norm := _norm_here(module)) is not None:
            covered, _, rectified = _behind(network, node, sums=False)
            own = FusedNorm(norm, rectified=rectified)
            fused[_replace(network, covered, own, None)] = own
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


def fixed_norm(module: nn.Module | None) -> nn.BatchNorm2d | None:
    """Return a batch norm that uses running statistics; None for any other module, classes derived from it included."""
    if not isinstance(module, nn.BatchNorm2d) or type(module) is not nn.BatchNorm2d or module.training:
        return None
    return module if module.running_mean is not None else None


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


def _gaining(module: nn.Module) -> tuple[nn.Conv2d, int] | None:
    """Return a convolution that the kernels take and its border, None for any other module."""
    convolution = known_convolution(module)
    padding = None if convolution is None else _padding(convolution)
    if convolution is None or padding is None or not _plain(convolution):
        return None
    return (convolution, padding) if is_quick(convolution.weight, convolution.stride[0], padding) else None


def _norm_here(module: nn.Module) -> nn.BatchNorm2d | None:
    """Return a batch norm with fixed statistics that the kernels take, None for any other module."""
    norm = fixed_norm(module)
    if norm is None or norm.running_mean is None or _hooked(norm):
        return None
    return norm if _is_here(norm.running_mean) else None


def _is_here(tensor: Tensor) -> bool:
    return tensor.device.type == "cpu" and tensor.dtype in (torch.float32, torch.float64)


def _plain(module: nn.Conv2d) -> bool:
    return _is_here(module.weight) and module.padding_mode == "zeros" and module.groups == 1 and not _hooked(module)


def _padding(module: nn.Conv2d) -> int | None:
    """Return the border of a convolution that is alike in both directions and not dilated, None for any other."""
    if module.dilation != (1, 1) or len(set(module.kernel_size)) > 1 or len(set(module.stride)) > 1:
        return None
    if isinstance(module.padding, str):
        same = {"valid": 0, "same": module.kernel_size[0] // 2 if module.kernel_size[0] % 2 else None}
        return same[module.padding]
    return int(module.padding[0]) if len(set(module.padding)) == 1 else None


def _behind(network: fx.GraphModule, node: fx.Node, *, sums: bool) -> tuple[list[fx.Node], fx.Node | None, bool]:
    """Return a node with the sum (if `sums`) and ReLU that alone read it, the sum's other map, and if one is a ReLU."""
    covered, residual = [node], _added(node) if sums else None
    if residual is not None:
        covered.append(next(iter(node.users)))
    readers = list(covered[-1].users)
    rectified = len(readers) == 1 and _is_relu(network, readers[0], covered[-1])
    return [*covered, *(readers if rectified else [])], residual, rectified


def _replace(
    network: fx.GraphModule, covered: list[fx.Node], part: FusedConvolution | FusedNorm, residual: fx.Node | None
) -> fx.Node:
    """Put one node in the place of those that follow each other, and return it."""
    first, last = covered[0], covered[-1]
    name = f"fused_{first.name}"
    network.add_submodule(name, part)
    with network.graph.inserting_before(last):
        new = network.graph.call_module(name, (first.args[0], *([] if residual is None else [residual])))
    last.replace_all_uses_with(new)
    for old in reversed(covered):
        network.graph.erase_node(old)
    return new


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
