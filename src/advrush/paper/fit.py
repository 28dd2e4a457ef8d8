"""Networks of comparable size: the channels that bring an architecture nearest to a number of parameters."""

from __future__ import annotations

from functools import cache

import torch

from advrush.models.build import build
from advrush.models.cell import plain_modules
from advrush.models.count import parameters


@cache
def fitted_channels(arch: str, layers: int | None, wanted: int) -> int:
    """Return the channels (at least 2) for which `arch` has as nearly `wanted` parameters as it can.

    Parameters grow with the channels, so that the search ends at the first network that is larger than wanted.
    """
    best, least, channels = 2, None, 2
    while True:
        found = _size(arch, layers, channels)
        if least is None or abs(found - wanted) < least:
            best, least = channels, abs(found - wanted)
        if found >= wanted:
            return best
        channels += 1


def _size(arch: str, layers: int | None, channels: int) -> int:
    with torch.device("meta"), plain_modules():
        return parameters(build(arch, channels=channels, layers=layers))
