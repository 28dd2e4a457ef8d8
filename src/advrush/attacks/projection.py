"""Nearest points of a box on a hyperplane, for many points at once (Croce and Hein, ICML 2020, appendix)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

BIG = 1e12
SMALL = 1e-8


def onto_hyperplane_linf(t: Tensor, w: Tensor, b: Tensor) -> Tensor:
    """Return the smallest steps d (N, D) in the Linf norm with w·(t + d) = b and t + d in [0, 1].

    Where no point of the box lies on the hyperplane, the step goes to the nearest corner. t, w (N, D), b (N,).
    Nothing waits for the device: rows of every case are computed and selected.
    """
    sign = torch.where((w * t).sum(1) - b >= 0, 1.0, -1.0).to(w)
    w, b = w * sign[:, None], b * sign
    up = (w < 0).to(w)
    full = (up - t) * (w != 0).to(w)
    room = up - t * (2 * up - 1)
    gap = b - (w * t).sum(1)
    least = (w * full).sum(1)

    # In order of falling room: the first j coordinates move by a common length, the others all the way.
    sizes, order = room.sort(dim=1, descending=True)
    w_sorted = w.gather(1, order)
    slope = w_sorted.abs().cumsum(dim=1)
    fixed = (-w_sorted * full.gather(1, order)).cumsum(dim=1) + least[:, None]

    def value(place: Tensor) -> Tensor:
        place = place[:, None]
        return (fixed.gather(1, place) - slope.gather(1, place) * sizes.gather(1, place)).squeeze(1)

    last = torch.full_like(order[:, 0], w.shape[1] - 1)
    all_alike = gap - value(last) > 0
    reachable = (gap - least > 0) | all_alike
    low, high = torch.zeros_like(last), last
    for _ in range(math.ceil(math.log2(max(w.shape[1], 2)))):
        middle = (low + high) // 2
        right = gap - value(middle) > 0
        low, high = torch.where(right, middle, low), torch.where(right, high, middle)
    place = torch.where(all_alike, last, low)[:, None]
    length = ((gap - fixed.gather(1, place).squeeze(1)) / -slope.gather(1, place).squeeze(1)).clamp_min(0)
    length = length[:, None]
    limited = torch.where(up > 0, torch.minimum(length, full), torch.maximum(-length, full))
    limited = torch.where(all_alike[:, None], (2 * up - 1) * length, limited)
    return torch.where(reachable[:, None], limited, full) * (w != 0).to(w)


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
