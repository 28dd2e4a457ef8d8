"""Batch norm that takes an edge's weight along, and once for all edges that normalize the same map."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm


def normalize(norm: nn.BatchNorm2d, x: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return `weight * norm(x)` for a scalar `weight`.

    The weight goes in as batch norm's own scale: its gradient, <cotangent, norm(x)>, is a number that the backward
    pass of batch norm has at hand, so that neither norm(x) is kept nor read again.
    """
    if not _is_plain(norm):
        y: Tensor = norm(x)
        return y if weight is None else weight * y
    if norm.training:
        norm.num_batches_tracked.add_(1)  # type: ignore[union-attr]
    # a copy: for a scale of stride 0, torch 2.13's channels_last backward returns a wrong gradient of x
    scale = None if weight is None else weight.expand(x.shape[1]).contiguous()
    return batch_norm(
        x, norm.running_mean, norm.running_var, scale, None, norm.training, norm.momentum or 0.0, norm.eps
    )


def normalize_alike(norms: Sequence[nn.BatchNorm2d], x: Tensor) -> list[Tensor]:
    """Return `norm(x)` for each of `norms`; in train mode it is one map, computed once."""
    first = norms[0]
    alike = all(_is_plain(n) and n.training and (n.eps, n.momentum) == (first.eps, first.momentum) for n in norms)
    if not alike or len(norms) == 1:
        return [normalize(norm, x) for norm in norms]
    y, mean, inverse_std = torch.ops.aten.native_batch_norm(x, None, None, None, None, True, 0.0, first.eps)
    _track(norms, mean, inverse_std, x.numel() // x.shape[1])
    return [y] * len(norms)


@torch.no_grad()
def _track(norms: Sequence[nn.BatchNorm2d], mean: Tensor, inverse_std: Tensor, count: int) -> None:
    """Move the running statistics of all `norms` as each by itself would."""
    variance = (inverse_std.double().square().reciprocal() - norms[0].eps) * (count / max(count - 1, 1))
    momentum = float(norms[0].momentum or 0.0)
    for norm in norms:
        norm.num_batches_tracked.add_(1)  # type: ignore[union-attr]
        norm.running_mean.lerp_(mean.to(norm.running_mean.dtype), momentum)  # type: ignore[union-attr]
        norm.running_var.lerp_(variance.to(norm.running_var.dtype), momentum)  # type: ignore[union-attr]


def _is_plain(norm: nn.BatchNorm2d) -> bool:
    """Tell whether `norm` is torch's own, without affine, with running statistics of a fixed momentum."""
    return type(norm) is nn.BatchNorm2d and not norm.affine and norm.track_running_stats and norm.momentum is not None
