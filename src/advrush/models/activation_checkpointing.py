"""Activation checkpointing that leaves batch-norm statistics correct."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


def recomputed(module: nn.Module, *inputs: Any, **options: Any) -> Tensor:
    """Return `module(*inputs, **options)`, of which autograd keeps the inputs alone.

    Gradients, random draws and batch norm's running statistics are those of a plain call.
    """
    contexts = lambda: (nullcontext(), uncounted(module))  # noqa: E731
    y: Tensor = checkpoint(module, *inputs, use_reentrant=False, context_fn=contexts, **options)
    return y


@contextmanager
def uncounted(module: nn.Module) -> Iterator[None]:
    """Let batch norms normalize by the batch without moving their running statistics: they did so the first time."""
    norms = [part for part in module.modules() if isinstance(part, nn.BatchNorm2d) and part.track_running_stats]
    kept = [(norm, norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm, _, batches in kept:
        norm.momentum = 0.0
        norm.num_batches_tracked = None if batches is None else batches.clone()
    try:
        yield
    finally:
        for norm, momentum, batches in kept:
            norm.momentum, norm.num_batches_tracked = momentum, batches
