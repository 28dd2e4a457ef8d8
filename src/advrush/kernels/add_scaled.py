"""`node += weight * x` for a scalar weight, whose gradients take two passes over the maps."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

from advrush.kernels.inner_product import inner_product


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
        d_weight = inner_product(dy, x).view_as(weight) if needs[1] else None
        return dy, d_weight, dy * weight if needs[2] else None
