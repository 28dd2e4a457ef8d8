"""Count the examples that an attack passes forward and backward."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook

from advrush.attacks.passes.fast_model import exact_model


@dataclass
class Passes:
    """Examples passed forward and backward through a model."""

    forwards: int = 0
    backwards: int = 0


@contextmanager
def counting(model: nn.Module) -> Iterator[Passes]:
    """Count the examples that pass `model` while the context is open; hooks are removed afterwards."""
    passes = Passes()

    def count(module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        passes.forwards += len(output)
        if output.requires_grad:
            output.register_hook(backward)  # type: ignore[no-untyped-call]

    def backward(gradient: Tensor) -> None:
        passes.backwards += len(gradient)

    doors = {model, exact_model(model)}
    if isinstance(model, torch.jit.ScriptModule):  # takes no hook: calls of any module are looked at in its place
        handles = [register_module_forward_hook(lambda m, given, told: count(m, given, told) if m is model else None)]
    else:
        handles = [door.register_forward_hook(count) for door in doors]
    try:
        yield passes
    finally:
        for handle in handles:
            handle.remove()
