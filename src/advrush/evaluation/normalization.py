"""Normalizations of images by name or in numbers, for networks that do not begin with their own."""

from __future__ import annotations

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
    if not isinstance(given, str):
        mean, std = given
        return tuple(float(value) for value in mean), tuple(float(value) for value in std)
    if given in NAMED:
        return NAMED[given]
    parts = [part.split(",") for part in given.split("/")]
    expected = f"one of {', '.join(NAMED)}, or MEAN/STD such as 0.5,0.5,0.5/0.2,0.2,0.2"
    check(len(parts) == 2, "normalize", given, f"{expected}{did_you_mean(given, NAMED)}")
    try:
        mean, std = (tuple(float(fraction(word.strip())) for word in part) for part in parts)
    except ValueError:
        check(False, "normalize", given, expected)
    check(len(mean) == len(std), "normalize", given, "as many deviations as means")
    check(all(value > 0 for value in std), "normalize", given, "positive deviations")
    return mean, std
