"""Rank correlations with the truth, their bootstrap intervals, and what is left of them given another quantity."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from advrush.config import check

Array = npt.NDArray[np.float64]

RESAMPLES = 1000


def kendall(a: Array, b: Array) -> float:
    """Return Kendall's tau-b, which counts ties as half; nan where one of them is constant."""
    once = np.ones((1, len(a)))
    return float(_kendall(_Ordered(np.asarray(a), once), _Ordered(np.asarray(b), once), once)[0])


class _Ordered:
    """A score's order among N rows, and what it is in each of the resamples.

    A resample is how often it takes each row: `counts` (resamples, N). Sums over its pairs of rows are then quadratic
    forms of the counts, so that nothing is sorted anew.
    """

    def __init__(self, score: Array, counts: Array) -> None:
        kind = np.float64 if len(score) < 2000 else np.float32  # a matrix of all pairs
        self.signs: npt.NDArray[Any] = np.sign(score[:, None] - score[None, :]).astype(kind)
        self.untied = _pairs(np.abs(self.signs), counts)
        below = (self.signs > 0) + (self.signs == 0) / kind(2)
        ranks = counts @ below.T
        ranks -= (counts * ranks).sum(axis=1, keepdims=True) / counts.sum(axis=1, keepdims=True)
        self.ranks = ranks
        self.spread = np.sqrt((counts * ranks * ranks).sum(axis=1))


def _pairs(matrix: npt.NDArray[Any], counts: Array) -> Array:
    """Return sum_ij d_i d_j matrix_ij for each resample d."""
    total: Array = ((counts.astype(matrix.dtype) @ matrix) * counts).sum(axis=1, dtype=np.float64)
    return total


def _kendall(a: _Ordered, b: _Ordered, counts: Array) -> Array:
    return _ratio(_pairs(a.signs * b.signs, counts), np.sqrt(a.untied * b.untied))


def _spearman(a: _Ordered, b: _Ordered, counts: Array) -> Array:
    return _ratio((counts * a.ranks * b.ranks).sum(axis=1), a.spread * b.spread)


def _ratio(above: Array, below: Array) -> Array:
    fine = below > 1e-9
    found: Array = np.where(fine, above / np.where(fine, below, 1.0), np.nan)
    return found


def partial(ab: Array, ac: Array, bc: Array) -> Array:
    """Return the partial correlation of a and b given c, of three correlations; nan where c tells one of them all.

    For Kendall's tau it is Kendall's partial tau, for Spearman's that of the ranks without what is linear in c's.
    """
    left = (1 - ac**2) * (1 - bc**2)
    return _ratio(ab - ac * bc, np.sqrt(np.where(left > 1e-12, left, 0.0)))


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
        resamples: how many; each takes the same rows for all scores.

    Each value is {"value", "low", "high"} with the 95% percentile interval of a bootstrap over rows, or None where it
    is not defined: a constant score, or a partial correlation of `given` with itself.
    """
    for name, score in scores.items():
        check(len(score) == len(truth), f"scores[{name}]", len(score), f"{len(truth)} values, one a row")
    check(len(truth) >= 3, "rows", len(truth), "at least 3")
    rng = np.random.default_rng(seed)
    count = len(truth)
    drawn = rng.multinomial(count, np.full(count, 1 / count), size=resamples).reshape(resamples, count)
    counts = np.concatenate([np.ones((1, count)), drawn.astype(np.float64)])
    y = _Ordered(truth, counts)
    held = None if given is None else _Ordered(scores[given], counts)
    found: dict[str, dict[str, Array]] = {name: {} for name in scores}
    for name, score in scores.items():
        a = _Ordered(score, counts)
        for statistic, measure in (("kendall", _kendall), ("spearman", _spearman)):
            found[name][statistic] = measure(a, y, counts)
            if held is not None:
                own = np.full(len(counts), np.nan)
                both = measure(held, y, counts)
                rest = own if name == given else partial(found[name][statistic], measure(a, held, counts), both)
                found[name][f"{statistic}_partial"] = rest
    if reference is not None:
        for name in scores:
            found[name]["kendall_gain"] = found[name]["kendall"] - found[reference]["kendall"]
    return {name: {key: _interval(values) for key, values in each.items()} for name, each in found.items()}


def _interval(values: Array) -> dict[str, float] | None:
    value, drawn = float(values[0]), values[1:]
    if np.isnan(value):
        return None
    drawn = drawn[~np.isnan(drawn)]
    low, high = np.quantile(drawn, (0.025, 0.975)) if len(drawn) else (value, value)
    return {"value": value, "low": float(low), "high": float(high)}
