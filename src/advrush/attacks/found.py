"""The adversarial points that an attack has found so far."""

from __future__ import annotations

import torch
from torch import Tensor

from advrush.attacks.threat import per_example


def note_found(found: Tensor, broken: Tensor, rows: Tensor, new: Tensor, points: Tensor) -> None:
    """Store the points of examples that have just been broken, in place.

    On a CPU only these are moved, mostly none; on a GPU all pass a selection, since counting them makes the host wait.

    Args:
        found: the points of all examples (N, C, H, W).
        broken: which of them are broken (N,).
        rows: places (n,) of the examples at hand.
        new: which of those were broken now (n,).
        points: where those are (n, C, H, W).
    """
    if new.device.type == "cpu":
        hit = new.nonzero().flatten()
        if len(hit):
            found[rows[hit]] = points[hit]
            broken[rows[hit]] = True
        return
    found[rows] = torch.where(per_example(new, points), points, found[rows])
    broken[rows] |= new
