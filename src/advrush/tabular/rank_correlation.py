"""Rank correlations with the truth, their bootstrap intervals, and what is left of them given another quantity."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
from scipy.stats import kendalltau, rankdata

from advrush.config import check

Array = npt.NDArray[np.float64]
Statistic = Callable[[Array, Array], float]

RESAMPLES = 1000


def kendall(a: Array, b: Array) -> float:
    """Return Kendall's tau-b, which counts ties as half; nan where one of them is constant."""
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    return float(kendalltau(a, b).statistic)


def spearman(a: Array, b: Array) -> float:
    """Return Spearman's rank correlation; nan where one of them is constant."""
    a, b = rankdata(a), rankdata(b)
    a, b = a - a.mean(), b - b.mean()
    norm = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / norm if norm > 0 else float("nan")


STATISTICS: Mapping[str, Statistic] = {"kendall": kendall, "spearman": spearman}


def partial(ab: float, ac: float, bc: float) -> float:
    """Return the partial correlation of a and b given c, of three correlations; nan where c tells one of them all.

    For Kendall's tau it is Kendall's partial tau, for Spearman's that of the ranks without what is linear in c's.
    """
    left = (1 - ac**2) * (1 - bc**2)
    return (ab - ac * bc) / float(np.sqrt(left)) if left > 1e-12 else float("nan")


def rank_correlations(
    scores: Mapping[str, Array],
    truth: Array,
    *,
    given: str | None = None,
    reference: str | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> dict[str, dict[str, dict[str, float] | None]]:
    """Return for each score `kendall`, `spearman`, and with `given` `kendall_partial` and `spearman_partial`.

    Args:
        scores: one array (N,) for each name, row by row as `truth`.
        truth: what was measured (N,).
        given: the name of the score that the partial correlations hold fixed.
        reference: the name of a score; `kendall_gain` is then Kendall's tau minus that of the reference.
        seed: seed of the bootstrap.
        resamples: its draws. Every draw takes the same rows for all scores.

    Each value is {"value", "low", "high"} with the 95% percentile interval of a bootstrap over rows, or None where it
    is not defined: a constant score, or a partial correlation of `given` with itself.
    """
    for name, score in scores.items():
        check(len(score) == len(truth), f"scores[{name}]", len(score), f"{len(truth)} values, one a row")
    check(len(truth) >= 3, "rows", len(truth), "at least 3")
    rng = np.random.default_rng(seed)
    draws = [np.arange(len(truth)), *(rng.integers(0, len(truth), len(truth)) for _ in range(resamples))]
    samples: dict[tuple[str, str], list[float]] = {}
    for draw in draws:
        for key, value in _all(scores, truth, draw, given, reference).items():
            samples.setdefault(key, []).append(value)
    found: dict[str, dict[str, dict[str, float] | None]] = {name: {} for name in scores}
    for (name, statistic), values in samples.items():
        found[name][statistic] = _interval(values)
    return found


def _all(
    scores: Mapping[str, Array], truth: Array, draw: npt.NDArray[np.int64], given: str | None, reference: str | None
) -> dict[tuple[str, str], float]:
    y, found = truth[draw], {}
    for statistic, measure in STATISTICS.items():
        plain = {name: measure(score[draw], y) for name, score in scores.items()}
        for name, score in scores.items():
            found[name, statistic] = plain[name]
            if given is not None:
                mutual = measure(score[draw], scores[given][draw])
                value = float("nan") if name == given else partial(plain[name], mutual, plain[given])
                found[name, f"{statistic}_partial"] = value
            if reference is not None and statistic == "kendall":
                found[name, "kendall_gain"] = plain[name] - plain[reference]
    return found


def _interval(values: list[float]) -> dict[str, float] | None:
    value, drawn = values[0], np.array(values[1:])
    if np.isnan(value):
        return None
    drawn = drawn[~np.isnan(drawn)]
    low, high = np.quantile(drawn, (0.025, 0.975)) if len(drawn) else (value, value)
    return {"value": float(value), "low": float(low), "high": float(high)}
