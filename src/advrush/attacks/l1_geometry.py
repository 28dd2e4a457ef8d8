"""The L1 ball inside the box of pixels: exact projection, and sparse steps (Croce and Hein, ICML 2021)."""

from __future__ import annotations

import torch
from torch import Tensor

TINY = 1e-12


def onto_l1_ball_in_box(x: Tensor, center: Tensor, eps: float) -> Tensor:
    """Return the nearest points (N, D), in the L2 norm, with ||z - center||_1 <= eps and z in [0, 1].

    x (N, D) may lie anywhere, `center` (N, D) in [0, 1]. With a = |x - center| and r the room that a coordinate has in
    its direction, z moves by min(max(a - t, 0), r), where t >= 0 is 0 or solves sum min(max(a - t, 0), r) = eps. The
    sum is piecewise linear in t, with breakpoints at a - r and a: they are sorted, and the piece with eps is solved.
    Cost O(D log D); sums are in float64.
    """
    offset = x - center
    room = torch.where(offset > 0, 1 - center, center).double()
    size = offset.abs().double()
    moved = torch.minimum(size, room)
    total = moved.sum(dim=1)
    # from each breakpoint on, so many coordinates more (1) or fewer (-1) become shorter as t grows
    breaks, order = torch.cat([(size - room).clamp_min(0.0), size], dim=1).sort(dim=1)
    changes = torch.cat([torch.ones_like(size), -torch.ones_like(size)], dim=1).gather(1, order)
    falling = changes.cumsum(dim=1)
    gaps = torch.diff(breaks, dim=1, prepend=torch.zeros_like(breaks[:, :1]))
    before = torch.cat([torch.zeros_like(falling[:, :1]), falling[:, :-1]], dim=1)
    sums = total[:, None] - (before * gaps).cumsum(dim=1)
    place = (sums > eps).sum(dim=1).clamp_max(breaks.shape[1] - 1)[:, None]
    # at `place` the sum is eps or less for the first time; t lies before it on a piece of constant slope
    ahead = (eps - sums.gather(1, place)) / before.gather(1, place).clamp_min(1.0)
    t = torch.where((total > eps)[:, None], (breaks.gather(1, place) - ahead).clamp_min(0.0), 0.0)
    length = torch.minimum((size - t).clamp_min(0.0), room)
    return (center + offset.sign() * length.to(center.dtype)).clamp(0.0, 1.0)


def sparse_direction(gradient: Tensor, share: Tensor | float) -> Tensor:
    """Return the signs (N, D) of each example's largest gradient entries, divided by their number.

    `share` (N,) or one number: the fraction of the entries, at least one of them. The step has length 1 in the L1 norm;
    entries that are 0 take no part.
    """
    size, count = gradient.abs(), gradient.shape[1]
    share = torch.as_tensor(share, dtype=torch.float64, device=gradient.device).expand(len(gradient))
    kept = (share * count).floor().long().clamp(1, count)
    least = size.sort(dim=1, descending=True).values.gather(1, kept[:, None] - 1)
    signs = torch.where(size >= least, gradient.sign(), torch.zeros_like(gradient))
    return signs / signs.abs().sum(dim=1, keepdim=True).clamp_min(1.0)


def free_gradient(gradient: Tensor, x: Tensor) -> Tensor:
    """Return the gradient (N, D) with 0 where a step along it would leave [0, 1] at once."""
    stuck = ((x <= 0) & (gradient < 0)) | ((x >= 1) & (gradient > 0))
    return torch.where(stuck, torch.zeros_like(gradient), gradient)


def laplace(uniform: Tensor) -> Tensor:
    """Return numbers of the Laplace distribution from uniform ones in [0, 1): divided by their L1 norm they are spread
    evenly over the sphere of that norm.
    """
    centered = uniform - 0.5
    return -centered.sign() * torch.log1p(-2 * centered.abs().clamp_max(0.5 - TINY))
