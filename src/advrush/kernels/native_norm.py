"""The passes of batch norm over maps in channels_last, by the compiled kernels."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from advrush.kernels import native


class BatchStatistics(NamedTuple):
    """A channel's statistics over a batch, each (C,), float64."""

    mean: Tensor
    variance: Tensor
    """Biased."""
    inverse_std: Tensor
    """1 / sqrt(variance + eps)."""
    size: int
    """Of the values of each channel."""


def statistics(sums: Tensor, count: int, eps: float) -> BatchStatistics:
    """Return the statistics that belong to the sums of x and x^2 (2, C), float64, over `count` values a channel."""
    mean, square = sums[0] / count, sums[1] / count
    variance = (square - mean * mean).clamp_(min=0.0)
    return BatchStatistics(mean, variance, (variance + eps).rsqrt(), count)


def channel_sums(p: Tensor, q: Tensor) -> Tensor:
    """Return the sums of p and of p q (2, C), float64, over all pixels of two maps (N, C, H, W)."""
    p, q = native.laid_out(p), native.laid_out(q)
    totals = p.new_empty(2, p.shape[1], dtype=torch.float64)
    native.call("channel_sums", p.dtype, p.numel() // p.shape[1], p.shape[1], p, q, totals)
    return totals


def combine(
    p: Tensor, a: Tensor, e: Tensor, q: Tensor | None = None, b: Tensor | None = None, *, out: Tensor
) -> Tensor:
    """Write a p + b q + e to the map `out`, which may be p or q, and return it.

    Maps (N, C, H, W), channels last; coefficients (C,) of the same type. b is 1 where it is not given, and b q is
    missing where q is not given.
    """
    native.call("combine", p.dtype, p.numel() // p.shape[1], p.shape[1], p, q, a, b, e, out)
    return out


class NormGradients(NamedTuple):
    """What batch norm's backward pass needs and gives, each (C,), float64, but for a, b, e: of the map's type."""

    scale: Tensor
    """<dy, (z - mean) / std> for each channel: the gradient of the scale."""
    shift: Tensor
    """The sum of dy: the gradient of the shift."""
    a: Tensor
    """dz = a dy + b z + e."""
    b: Tensor
    e: Tensor


def norm_gradients(sums: Tensor, scale: Tensor, found: BatchStatistics, dtype: torch.dtype) -> NormGradients:
    """Return the gradients of y = scale (z - mean) / std + shift from the sums of dy and dy z (2, C).

    dz = scale / std (dy - mean(dy) - zhat mean(dy zhat)), zhat = (z - mean) / std, is an affine function of dy and z.
    `scale` (C,) is float64.
    """
    total, along = sums[0], (sums[1] - found.mean * sums[0]) * found.inverse_std
    a = scale * found.inverse_std
    b = a * found.inverse_std * along / -found.size
    e = a * total / -found.size - b * found.mean
    return NormGradients(along, total, a.to(dtype), b.to(dtype), e.to(dtype))
