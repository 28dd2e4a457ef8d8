"""What the pictures of analyses mean, in one sentence each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def surface_sentence(result: Mapping[str, Any]) -> str:
    """Return a surface's number with its interval: how steep it is, and how curved at the images themselves."""
    slope, curvature = result["steepest_slope"], result["lambda_max"]
    if result["around"] == "weights":
        rise = (
            f"Where it is steepest, a move of a tenth of the filters' lengths changes the mean loss by {_tenth(slope)}"
        )
    else:
        rise = f"Where it is steepest, moving the pixels by 0.01 (rms) changes the mean loss by {_hundredth(slope)}"
    return (
        f"{rise}; at the images the loss has mean λ_max {curvature['mean']:.3g} "
        f"[{curvature['low']:.3g}, {curvature['high']:.3g}], and the mean loss is {result['loss']:.3g}."
    )


def _hundredth(value: Mapping[str, float]) -> str:
    return f"{value['value'] / 100:.3g} [{value['low'] / 100:.3g}, {value['high'] / 100:.3g}]"


def _tenth(value: Mapping[str, float]) -> str:
    return f"{value['value'] / 10:.3g} [{value['low'] / 10:.3g}, {value['high'] / 10:.3g}]"


def curvature_sentence(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Return which network is the flattest and which the most curved, and whether their intervals overlap."""
    order = sorted(results, key=lambda name: results[name]["lambda_max"]["mean"])
    if len(order) < 2:
        return ""
    flat, curved = (results[name]["lambda_max"] for name in (order[0], order[-1]))
    apart = "do not overlap" if flat["high"] < curved["low"] else "overlap: the images do not tell them apart"
    return (
        f"The flattest is {order[0]} with mean λ_max {flat['mean']:.3g}, the most curved {order[-1]} with "
        f"{curved['mean']:.3g}; their intervals {apart}."
    )


def path_sentences(result: Mapping[str, Any]) -> list[str]:
    """Return the correlations, how far the theorem's two premises hold, and what follows."""
    points, found = result["points"], result["correlation"]
    losses = [point["loss"]["mean"] for point in points]
    cosines = [point["cosine"]["mean"] for point in points]
    rise = result["correlation_of_rise"]["pearson"]
    return [
        f"Along the path λ_max and the largest loss under PGD correlate with Pearson's r = {_value(found['pearson'])} "
        f"and Spearman's {_value(found['spearman'])}; λ_max and the loss's rise under attack with r = {_value(rise)}.",
        f"The theorem supposes a constant loss without attack (here it goes from {min(losses):.3g} to "
        f"{max(losses):.3g}) and a gradient along the eigenvector of λ_max, c = 1 (here the mean c goes from "
        f"{min(cosines):.3g} to {max(cosines):.3g}).",
    ]


def _value(value: Mapping[str, float] | None) -> str:
    if value is None:
        return "– (the same at all points)"
    return f"{value['value']:.2f} [{value['low']:.2f}, {value['high']:.2f}]"
