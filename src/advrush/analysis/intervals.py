"""95% bootstrap confidence intervals over images, of means and of correlations."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

Array = npt.NDArray[np.float64]

RESAMPLES = 1000


def mean_interval(values: Array, *, seed: int = 0) -> dict[str, float]:
    """Return mean, median, standard deviation and the 95% percentile-bootstrap interval of the mean of N values."""
    means = resampled_means(values[:, None], seed=seed)[:, 0]
    low, high = np.quantile(means, (0.025, 0.975))
    return {
        "mean": float(values.mean()), "median": float(np.median(values)), "std": float(values.std()),
        "low": float(low), "high": float(high),
    }  # fmt: skip


def resampled_means(values: Array, *, seed: int = 0, resamples: int = RESAMPLES) -> Array:
    """Return the means over N drawn rows of (N, D), for each of the resamples: (resamples, D)."""
    rng = np.random.default_rng(seed)
    count = len(values)
    weights = rng.multinomial(count, np.full(count, 1 / count), size=resamples) / count
    means: Array = weights @ values
    return means


def statistic_interval(values: Array, statistic: Callable[[Array], float], *, seed: int = 0) -> dict[str, float]:
    """Return a statistic of the mean over N rows of (N, D), and its 95% percentile-bootstrap interval over the rows."""
    found = [statistic(row) for row in resampled_means(values, seed=seed)]
    low, high = np.nanquantile(found, (0.025, 0.975))
    return {"value": statistic(values.mean(axis=0)), "low": float(low), "high": float(high)}


def pearson(a: Array, b: Array) -> float:
    """Return Pearson's correlation; nan where one of them is constant."""
    a, b = a - a.mean(), b - b.mean()
    norm = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum() / norm) if norm > 0 else float("nan")


def spearman(a: Array, b: Array) -> float:
    """Return Spearman's rank correlation; nan where one of them is constant."""
    return pearson(rankdata(a), rankdata(b))


def correlation(a: Array, b: Array, *, seed: int = 0) -> dict[str, dict[str, float] | None]:
    """Return Pearson's and Spearman's correlation of the means over N images of (N, T) quantities along T points.

    The 95% intervals are percentile bootstraps over the images: each draw takes the same images for both quantities.
    None where a quantity is the same at all points: it then correlates with nothing.
    """
    points = a.shape[1]
    both = np.concatenate([a, b], axis=1)
    measures: dict[str, Callable[[Array, Array], float]] = {"pearson": pearson, "spearman": spearman}
    if any(np.ptp(each.mean(axis=0)) == 0 for each in (a, b)):
        return dict.fromkeys(measures)
    return {
        name: statistic_interval(both, lambda row, f=measure: f(row[:points], row[points:]), seed=seed)  # type: ignore[misc]
        for name, measure in measures.items()
    }
