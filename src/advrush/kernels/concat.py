"""`torch.cat` whose gradients are contiguous in the layout of the maps, so that consumers need not copy them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def join(parts: list[Tensor]) -> Tensor:
    """Return `torch.cat(parts, dim=1)` for parts (N, C, H, W) of equal width; differentiable any number of times."""
    return _Join.apply(*parts)  # type: ignore[no-any-return, no-untyped-call]


class _Join(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *parts: Tensor) -> Tensor:
        ctx.count, whole = len(parts), torch.cat(parts, dim=1)
        last = whole.is_contiguous(memory_format=torch.channels_last)
        ctx.layout = torch.channels_last if last else torch.contiguous_format
        return whole

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Tensor, ...]:
        (whole,) = cotangents
        return tuple(part.contiguous(memory_format=ctx.layout) for part in whole.chunk(ctx.count, dim=1))
