"""Confidence intervals of proportions, by Wilson's score."""

from __future__ import annotations

import math


def wilson(correct: int, total: int, z: float = 1.959964) -> tuple[float, float]:
    """Return the Wilson interval of a proportion (95% unless `z` says otherwise)."""
    if total == 0:
        return 0.0, 1.0
    p, n = correct / total, float(total)
    center = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(0.0, center - half), min(1.0, center + half)
