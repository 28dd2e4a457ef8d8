"""Summary of the smallest perturbations' norms: their median, and the accuracy at every radius."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from advrush.evaluation.intervals import wilson

POINTS = 20
"""Radii of the curve, evenly spaced up to the longest perturbation."""


def smallest_of(norms: Tensor, norm: str) -> dict[str, Any]:
    """Return median, quartiles and curve of the norms (N,): 0 where wrong without an attack, infinite where none.

    Median and quartiles are of the images that are right without an attack; None where they are infinite. A point of
    the curve is the share of all images whose smallest perturbation is longer than the radius: the accuracy that the
    attack leaves there, and as every attack's an upper bound of the robust accuracy.
    """
    right, total = norms[norms > 0], len(norms)
    finite = right[right.isfinite()]
    largest = float(finite.amax()) if len(finite) else 0.0
    curve = []
    for eps in torch.linspace(0.0, largest, POINTS + 1, dtype=torch.float64).tolist() if largest else [0.0]:
        left = int((norms > eps).sum())
        curve.append({"eps": eps, "robust_acc": left / total, "interval": list(wilson(left, total))})
    return {
        "norm": norm,
        "attacked": len(right),
        "found": len(finite),
        **{name: _quantile(right, share) for name, share in (("lower", 0.25), ("median", 0.5), ("upper", 0.75))},
        "curve": curve,
    }


def _quantile(values: Tensor, share: float) -> float | None:
    """Return the value below which this share lies (the nearest one above), None for none or an infinite one."""
    if not len(values):
        return None
    found = float(values.double().sort().values[max(0, -int(-share * len(values) // 1) - 1)])
    return found if found < float("inf") else None


def smallest_line(found: dict[str, Any]) -> str:
    """Return `smallest_of` in a line for people."""
    said = f"smallest {found['norm']} perturbation"
    if found["median"] is None:
        return f"{said}: found for {found['found']:,} of {found['attacked']:,} images"
    return f"{said}: median {found['median']:.4g} of {found['attacked']:,} images, found for {found['found']:,}"
