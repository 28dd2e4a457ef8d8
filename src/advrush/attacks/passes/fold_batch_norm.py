"""Fold batch norm with fixed statistics into the convolution before it."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from advrush.attacks.passes.fuse_convolutions import fixed_norm, fuse, known_convolution
from advrush.kernels import native

AGREEMENT = 1e-4
"""Largest difference of logits, as a share of the largest logit, that counts as rounding."""
NEAR = 0.1
"""Largest difference of input gradients, as a share of their length: a ReLU within a rounding of zero falls to either
side, so that they differ by some percent in deep networks."""


def folded(model: nn.Module, x: Tensor) -> nn.Module | None:
    """Return a network in eval mode that computes the logits of `model` at x (N, C, H, W) up to rounding.

    Batch norms are folded, and runs of convolutions fused where that keeps gradients too (`fuse_convolutions`, on a
    CPU). None where nothing can be done: the model cannot be traced (its control flow depends on its input), nothing
    can be fused and no batch norm follows a convolution whose output nothing else takes, or the logits differ, as
    those of a random model do. It
    shares the other layers with `model` and holds the weights as they are now.
    """
    devices = [x.device] if x.is_cuda else []
    with torch.random.fork_rng(devices=devices):  # a random model's next numbers are not used up here
        try:
            network = fx.GraphModule(model, _Tracer().trace(model))
        except Exception:  # whatever the model's own code raises when it meets a stand-in for its input
            return None
        count = _fold_all(network)
        fused = _fused(model, network, x)
        return fused or (network if count and _agree(model, network, x) else None)


class _Tracer(fx.Tracer):
    """Records calls of convolutions, not what they do."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Return whether a module is called as a whole."""
        return known_convolution(m) is not None or super().is_leaf_module(m, module_qualified_name)


def _fused(model: nn.Module, network: fx.GraphModule, x: Tensor) -> nn.Module | None:
    """Return a copy of the folded network whose convolutions are fused, None where none gains or it would differ."""
    if x.device.type != "cpu" or x.dim() != 4 or native.library() is None:
        return None
    fused = fx.GraphModule(network, copy.deepcopy(network.graph))
    if not fuse(fused):
        return None
    fused.recompile()
    fused.delete_all_unused_submodules()
    x = x.contiguous(memory_format=torch.channels_last)
    return fused if _agree(model, fused, x) and _gradients_agree(model, fused, x) else None


def _fold_all(network: fx.GraphModule) -> int:
    count = sum([_fold(network, node) for node in list(network.graph.nodes)])
    network.recompile()
    network.delete_all_unused_submodules()
    return count


def _agree(model: nn.Module, network: nn.Module, x: Tensor) -> bool:
    with torch.no_grad():
        logits: Tensor = model(x)
        try:
            difference = (network(x) - logits).abs().max()
        except Exception:  # a model that asks for its input's values or shape goes wrong where these are others
            return False
        return bool(difference <= AGREEMENT * logits.abs().max())


def _gradients_agree(model: nn.Module, network: nn.Module, x: Tensor) -> bool:
    try:
        own, new = (_gradient(each, x) for each in (model, network))
    except RuntimeError:  # what autograd raises where a later operation changes a map in place, or the graph is cut
        return False
    return bool((new - own).norm() <= NEAR * own.norm())


def _gradient(model: nn.Module, x: Tensor) -> Tensor:
    with torch.enable_grad():
        x = x.detach().requires_grad_(True)
        return torch.autograd.grad(model(x).square().sum(), x, materialize_grads=True)[0]


def _fold(network: fx.GraphModule, node: fx.Node) -> bool:
    """Fold a batch norm into the convolution that alone feeds it; return whether that could be done."""
    before = node.args[0] if len(node.args) == 1 and not node.kwargs else None
    if node.op != "call_module" or not isinstance(before, fx.Node) or before.op != "call_module":
        return False
    norm = fixed_norm(network.get_submodule(str(node.target)))
    convolution = known_convolution(network.get_submodule(str(before.target)))
    if norm is None or convolution is None or len(before.users) > 1:
        return False
    name = f"folded_{node.name}"
    network.add_submodule(name, fuse_conv_bn_eval(convolution, norm).requires_grad_(False))
    with network.graph.inserting_before(node):
        node.replace_all_uses_with(network.graph.call_module(name, before.args, before.kwargs))
    network.graph.erase_node(node)
    network.graph.erase_node(before)
    return True
