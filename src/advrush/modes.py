"""Context managers that change a module's state and put every bit of it back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar

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


_KEPT: ContextVar[dict[object, object] | None] = ContextVar("kept", default=None)


@contextmanager
def weights_unchanged() -> Iterator[dict[object, object]]:
    """Promise that no layer is replaced meanwhile: what is made of weights alone may be kept until the end.

    Whoever keeps something checks that the tensors that it was made of are the same.
    """
    kept = _KEPT.get()
    kept = {} if kept is None else kept
    token = _KEPT.set(kept)
    try:
        yield kept
    finally:
        _KEPT.reset(token)


def kept_values() -> dict[object, object] | None:
    """Return what is kept within `weights_unchanged`, None outside."""
    return _KEPT.get()
