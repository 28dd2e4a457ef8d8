"""The inner product of two maps."""

from __future__ import annotations

import torch
from torch import Tensor


def inner_product(a: Tensor, b: Tensor) -> Tensor:
    """Return <a, b> of two maps (N, C, H, W), without a map of their products; differentiable any number of times.

    Maps of one layout, channels last or first, are read where they lie.
    """
    last = a.is_contiguous(memory_format=torch.channels_last)
    order = (0, 2, 3, 1) if last else (0, 1, 2, 3)
    return torch.dot(a.permute(order).reshape(-1), b.permute(order).reshape(-1))
