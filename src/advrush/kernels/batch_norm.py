"""Batch norm fused with an edge's weight, and computed once for edges that normalize the same map."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn.functional import batch_norm

from advrush.kernels.batch_statistics import library_is_inexact, normalize_batch, track


def normalize(norm: nn.BatchNorm2d, x: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return `weight * norm(x)` for a scalar `weight`.

    The weight goes in as batch norm's own scale: its gradient, <cotangent, norm(x)>, is a number that the backward
    pass of batch norm has at hand, so that neither norm(x) is kept nor read again.
    """
    if not _is_plain(norm) or (norm.affine and weight is not None):
        y: Tensor = norm(x)
        return y if weight is None else weight * y
    # a copy: for a scale of stride 0, torch 2.13's channels_last backward returns a wrong gradient of x
    scale = norm.weight if weight is None else weight.expand(x.shape[1]).contiguous()
    if not (norm.training and library_is_inexact(x)):
        if norm.training:
            norm.num_batches_tracked.add_(1)  # type: ignore[union-attr]
        return batch_norm(
            x, norm.running_mean, norm.running_var, scale, norm.bias, norm.training, norm.momentum or 0.0, norm.eps
        )
    y, mean, variance = normalize_batch(x, scale, norm.eps, norm.bias)
    track([norm], mean, variance, x.numel() // x.shape[1])
    return y


def normalize_alike(norms: Sequence[nn.BatchNorm2d], x: Tensor) -> list[Tensor]:
    """Return `norm(x)` for each of `norms`; in train mode it is one map, computed once."""
    first = norms[0]
    alike = all(
        _is_plain(n) and not n.affine and n.training and (n.eps, n.momentum) == (first.eps, first.momentum)
        for n in norms
    )
    if not alike or len(norms) == 1:
        return [normalize(norm, x) for norm in norms]
    y, mean, variance = normalize_batch(x, None, first.eps)
    track(norms, mean, variance, x.numel() // x.shape[1])
    return [y] * len(norms)


def _is_plain(norm: nn.BatchNorm2d) -> bool:
    """Tell whether `norm` is torch's own, with running statistics of a fixed momentum."""
    return type(norm) is nn.BatchNorm2d and norm.track_running_stats and norm.momentum is not None
