"""Sizes of a network: parameters, multiply-accumulates, memory of its activations."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from advrush.models.cell import plain_modules
from advrush.modes import evaluating


@dataclass(frozen=True)
class Counts:
    """The sizes of a network for one image of a given size."""

    parameters: int
    """Trainable and frozen parameters; buffers are not counted."""
    macs: int
    """Multiply-accumulates of the convolutions and linear layers of one forward pass."""
    activation_bytes: int
    """Peak of the activations of a training step: the bytes that autograd holds after the forward pass."""


def count(model: nn.Module, *, image_size: int = 32, in_channels: int = 3) -> Counts:
    """Count parameters, MACs and activation bytes of `model` for one image.

    The model runs twice in eval mode, on its device and in its precision, and is left as it was.
    """
    like = next(model.parameters())
    x = torch.zeros((1, in_channels, image_size, image_size), dtype=like.dtype, device=like.device)
    with plain_modules():
        return Counts(parameters(model), _macs(model, x), _activation_bytes(model, x))


def macs(model: nn.Module, *, image_size: int = 32, in_channels: int = 3) -> int:
    """Return the multiply-accumulates of one image's forward pass; a network on the `meta` device computes nothing."""
    like = next(model.parameters())
    with plain_modules():
        return _macs(model, torch.zeros((1, in_channels, image_size, image_size), dtype=like.dtype, device=like.device))


def parameters(model: nn.Module) -> int:
    """Return the number of parameters; buffers such as batch-norm statistics are not counted."""
    return sum(parameter.numel() for parameter in model.parameters())


def _macs(model: nn.Module, x: Tensor) -> int:
    """Return half of the operations that torch counts: a multiplication and an addition make one."""
    with evaluating(model), torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(x)
    return int(counter.get_total_flops()) // 2


def _activation_bytes(model: nn.Module, x: Tensor) -> int:
    """Return the bytes that are saved for the backward pass: each storage once, without the parameters.

    All that is saved is alive when the forward pass ends: the peak, as the backward pass frees as it goes.
    """
    owned = {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers())}
    saved: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> Tensor:
        pointer = tensor.untyped_storage().data_ptr()
        if pointer not in owned:
            saved.setdefault(pointer, tensor.detach())  # held: no later tensor gets its address
        return tensor

    with evaluating(model), torch.enable_grad(), saved_tensors_hooks(pack, lambda tensor: tensor):
        output = model(x.requires_grad_())
    total = sum(tensor.untyped_storage().nbytes() for tensor in saved.values())
    del output  # until here: the graph keeps what it saved
    return total
