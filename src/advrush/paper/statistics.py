"""Means over seeds with their intervals, and the exact McNemar test between two networks on the same examples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest, t

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Spread:
    """Mean over runs, standard deviation (None of a single run) and the 95% interval of the mean."""

    mean: float
    sd: float | None
    interval: tuple[float, float] | None


def spread(values: Sequence[float]) -> Spread:
    """Return mean, sample standard deviation and Student's 95% interval of at least one value."""
    mean = math.fsum(values) / len(values)
    if len(values) == 1:
        return Spread(mean, None, None)
    sd = float(np.std(values, ddof=1))
    half = float(t.ppf(0.975, len(values) - 1)) * sd / math.sqrt(len(values))
    return Spread(mean, sd, (mean - half, mean + half))


@dataclass(frozen=True)
class McNemar:
    """Examples that only the one or only the other network gets right, and the exact two-sided p-value."""

    only_first: int
    only_second: int
    examples: int
    p: float

    @property
    def difference(self) -> float:
        """The first network's accuracy less the second's, in percent points."""
        return 100 * (self.only_first - self.only_second) / self.examples


def mcnemar(first: Flags, second: Flags) -> McNemar:
    """Test whether two networks are right equally often on the same N examples (McNemar 1947, exact binomial form).

    `first` and `second` (N,) are True where the network is right. Raises ValueError for other lengths.
    """
    if first.shape != second.shape:
        raise ValueError(f"flags of {len(first)} and of {len(second)} examples; expected the same examples")
    one, two = int((first & ~second).sum()), int((second & ~first).sum())
    p = 1.0 if one + two == 0 else float(binomtest(one, one + two, 0.5).pvalue)
    return McNemar(one, two, len(first), p)
