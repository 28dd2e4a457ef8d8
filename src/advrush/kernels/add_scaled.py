"""`node += weight * x` for a scalar weight, whose gradients take two passes over the maps."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor


def add_scaled(node: Tensor, weight: Tensor, x: Tensor) -> Tensor:
    """Add `weight * x` to `node` in place and return it; differentiable any number of times.

    Args:
        node: (N, C, H, W); not needed by the backward pass of what made it.
        weight: a scalar ().
        x: of the shape of `node`.
    """
    return cast(Tensor, _AddScaled.apply(node, weight, x))  # type: ignore[no-untyped-call]


class _AddScaled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, node: Tensor, weight: Tensor, x: Tensor) -> Tensor:
        ctx.mark_dirty(node)
        ctx.save_for_backward(weight, x)
        return node.addcmul_(weight, x)

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Tensor | None, ...]:
        (weight, x), (dy,), needs = ctx.saved_tensors, cotangents, ctx.needs_input_grad
        d_weight = _inner_product(dy, x).view_as(weight) if needs[1] else None
        return dy, d_weight, dy * weight if needs[2] else None


def _inner_product(a: Tensor, b: Tensor) -> Tensor:
    """Return <a, b> of two maps; without a map of their products where both lie in memory in the same dense order."""
    if torch.is_grad_enabled() or a.stride() != b.stride() or not _is_dense(a):
        return (a * b).sum()
    return torch.dot(a.as_strided((a.numel(),), (1,)), b.as_strided((b.numel(),), (1,)))


def _is_dense(a: Tensor) -> bool:
    return a.is_contiguous() or a.is_contiguous(memory_format=torch.channels_last)
