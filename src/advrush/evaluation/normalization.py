"""Normalizations of images by name or in numbers, for networks that do not begin with their own."""

from __future__ import annotations

import math
from collections.abc import Sequence

from advrush.config import check, did_you_mean, fraction
from advrush.data import KNOWN

Normalization = tuple[Sequence[float], Sequence[float]]
"""Mean and standard deviation of each channel, for pixels in [0, 1]."""

NAMED: dict[str, Normalization] = {
    **{name: (known.mean, known.std) for name, known in KNOWN.items()},
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "half": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
}
"""Statistics by name; `half` maps pixels to [-1, 1]."""


def normalization(given: str | Normalization) -> Normalization:
    """Return mean and standard deviation of a name, of "MEAN/STD" such as "0.5,0.5,0.5/0.2,0.2,0.2", or of a pair.

    Raises ConfigError for another text.
    """
    if isinstance(given, str) and given in NAMED:
        return NAMED[given]
    expected = f"one of {', '.join(NAMED)}, or MEAN/STD such as 0.5,0.5,0.5/0.2,0.2,0.2"
    try:
        parts = [part.split(",") for part in given.split("/")] if isinstance(given, str) else given
        mean, std = (tuple(float(fraction(str(value).strip())) for value in part) for part in parts)
    except (TypeError, ValueError):
        hint = did_you_mean(given, NAMED) if isinstance(given, str) else ""
        check(False, "normalize", given, f"{expected}{hint}")
    check(len(mean) == len(std) > 0, "normalize", given, "as many deviations as means")
    check(all(map(math.isfinite, (*mean, *std))), "normalize", given, "finite numbers")
    check(all(value > 0 for value in std), "normalize", given, "positive deviations")
    return mean, std
