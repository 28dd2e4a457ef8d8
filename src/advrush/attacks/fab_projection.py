"""Nearest points of a box on a hyperplane, for many points at once (Croce and Hein, ICML 2020, appendix)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

BIG = 1e12
TINY = 1e-30
SMALL = 1e-8
PASSES = 20


def onto_hyperplane_linf(t: Tensor, w: Tensor, b: Tensor) -> Tensor:
    """Return the smallest steps d (N, D) in the Linf norm with w·(t + d) = b and t + d in [0, 1].

    Where no point of the box lies on the hyperplane, the step goes to the nearest corner. t, w (N, D), b (N,).

    All coordinates move by a common length, or as far as they have room: the length solves
    sum |w| min(length, room) = gap, which is increasing and concave. Newton's method from below finds the exact
    piece in a few passes, without sorting; a GPU makes all of `PASSES` so that the host need not look.
    """
    gap = (w * t).sum(1) - b
    w = w * torch.where(gap >= 0, 1.0, -1.0).to(w)[:, None]
    gap = gap.abs()
    room = torch.where(w < 0, 1 - t, t)
    weight = w.abs()
    share = weight * room
    length = gap / weight.sum(1).clamp_min(TINY)
    for _ in range(PASSES):
        free = (room > length[:, None]).to(w)
        grad, spent = torch.linalg.vecdot(weight, free), torch.linalg.vecdot(share, 1 - free)
        longer = torch.where(grad > 0, (gap - spent) / grad.clamp_min(TINY), length)
        done = w.device.type == "cpu" and bool((longer <= length).all())
        length = torch.maximum(longer, length)
        if done:
            break
    within = torch.minimum(room, length[:, None])
    return -w.sign() * torch.where((gap < share.sum(1))[:, None], within, room)


def onto_hyperplane_l2(t: Tensor, w: Tensor, b: Tensor) -> Tensor:
    """Return the smallest steps d (N, D) in the L2 norm with w·(t + d) = b and t + d in [0, 1]."""
    gap = (w * t).sum(1) - b
    sign = torch.where(gap >= 0, 1.0, -1.0).to(w)
    w, gap = w * sign[:, None], gap * sign
    moves = w.abs() > SMALL
    # How far along -w each coordinate goes before it meets the box; infinitely far where it does not move.
    reach = torch.maximum(t / w, (t - 1) / w).clamp(-BIG, BIG)
    reach = torch.where(w.abs() < SMALL, BIG, reach)
    reach = torch.where(reach == -BIG, BIG, reach)
    sizes, order = reach.sort(dim=1)
    following = torch.nn.functional.pad(sizes[:, 1:], (0, 1))
    sizes = torch.where(sizes == BIG, 0.0, sizes)
    following = torch.where(following == BIG, 0.0, following)
    squares = (w**2).gather(1, order)
    total = squares.sum(dim=1, keepdim=True)
    rest = total - squares.cumsum(dim=1)
    full = -(reach * w) * moves.to(w)
    first = -total * sizes[:, :1]
    value = torch.cat([first, ((sizes - following) * rest).cumsum(dim=1) + first], dim=1)

    none_stops = value[:, 0] + gap < 0
    all_stop = (full * w).sum(dim=1) + gap > 0
    low, high = torch.zeros_like(order[:, 0]), torch.full_like(order[:, 0], w.shape[1] - 1)
    for _ in range(math.ceil(math.log2(max(w.shape[1], 2)))):
        middle = (low + high) // 2
        right = value.gather(1, middle[:, None]).squeeze(1) + gap > 0
        low, high = torch.where(right, middle, low), torch.where(right, high, middle)
    place = low[:, None]
    left = rest.gather(1, place)
    scale = (value.gather(1, place) + gap[:, None]) / left + sizes.gather(1, place)
    scale = torch.where(left == 0, 0.0, scale)
    stopped = torch.where(scale > reach, full, -scale * w)
    alike = -(gap[:, None] / total) * w
    step = torch.where(none_stops[:, None], alike, torch.where(all_stop[:, None], full, stopped))
    return step * moves.to(w)
