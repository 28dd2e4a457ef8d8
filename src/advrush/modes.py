"""Context managers that change a module's state and put every bit of it back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

from torch import nn


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Run `model` in eval mode; afterwards each submodule has the mode it had, mixed modes included.

    Exported programs and frozen scripts have the one mode in which they were made, and stay in it.
    """
    modes = [(module, module.training) for module in model.modules() if hasattr(module, "training")]
    with suppress(NotImplementedError):
        model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """Ask no gradients of the parameters of `model`; afterwards each has the flag it had."""
    flags = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    for parameter, _ in flags:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter, flag in flags:
            parameter.requires_grad_(flag)


@contextmanager
def frozen_except(model: nn.Module, wanted: Iterable[nn.Parameter]) -> Iterator[None]:
    """Ask gradients of the `wanted` parameters alone: autograd then neither computes nor stores the others'."""
    keep = {id(parameter) for parameter in wanted}
    flags = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    for parameter, _ in flags:
        parameter.requires_grad_(id(parameter) in keep)
    try:
        yield
    finally:
        for parameter, flag in flags:
            parameter.requires_grad_(flag)
