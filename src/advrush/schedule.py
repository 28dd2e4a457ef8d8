"""The cosine schedule of learning rates and step lengths."""

from __future__ import annotations

import math


def cosine(first: float, last: float, done: float, *, total: int) -> float:
    """Return the value after `done` of `total` epochs of a schedule that falls from `first` to `last` as half a cosine.

    Loshchilov and Hutter, SGDR, ICLR 2017, Eq. 5, without restarts.
    """
    return last + (first - last) * (1 + math.cos(math.pi * done / total)) / 2
