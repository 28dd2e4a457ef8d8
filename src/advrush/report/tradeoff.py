"""Figure 1: robust against clean accuracy, with lines of equal harmonic robustness score."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from advrush.report.drawing.architectures import Style, styles_by_label
from advrush.report.drawing.plot import INK, LINE, legend_above, new_figure

SCORES = tuple(range(10, 100, 10))
"""HRS in percent that lines are drawn for."""

Interval = tuple[float, float, float]
"""A value, the lower and the upper end of its interval, fractions."""


def tradeoff(
    models: Mapping[str, tuple[Interval, Interval]], *, attack: str, styles: Mapping[str, Style] | None = None
) -> Figure:
    """Draw each model's robust accuracy against its clean one, in percent, with their intervals (Figure 1).

    On a line the harmonic mean 2 C R / (C + R) is the same. `attack` is the name, for people, of what R is under.
    `styles`: see `drawing.architectures`; by the models' names unless given.
    """
    figure, (axis,) = new_figure(width=6.6, height=4.6)
    clean = [value for (triple, _) in models.values() for value in triple[1:]]
    robust = [value for (_, triple) in models.values() for value in triple[1:]]
    left, right = _around(clean)
    bottom, top = _around(robust)
    for score in SCORES:
        c = np.linspace(max(left, score / 2 + 0.01), right, 200)
        r = score * c / (2 * c - score)
        axis.plot(c, r, color=LINE, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
        inside = (r <= top) & (r >= bottom)
        if inside.any():
            at = int(np.flatnonzero(inside)[-1])
            axis.annotate(
                f"HRS {score}", (c[at], r[at]), (-3, 3), textcoords="offset points", ha="right", fontsize=7.5, color=INK
            )
    styles = styles or styles_by_label(models)
    for name, pair in models.items():
        across, up = ([100 * value for value in triple] for triple in pair)
        axis.errorbar(
            [across[0]], [up[0]], _whisker(up), _whisker(across), fmt=styles[name].marker, color=styles[name].color,
            elinewidth=0.9,
            markersize=6, label=name, zorder=3,
        )  # fmt: skip
    axis.set_xlim(left, right)
    axis.set_ylim(bottom, top)
    axis.set_xlabel("clean accuracy, %")
    axis.set_ylabel(f"accuracy under {attack}, %")
    legend_above(figure, (axis,))
    return figure


def _whisker(triple: list[float]) -> list[list[float]]:
    """Return how far an interval reaches below and above its value."""
    return [[max(0.0, triple[0] - triple[1])], [max(0.0, triple[2] - triple[0])]]


def _around(fractions: list[float]) -> tuple[float, float]:
    """Return a range in percent around values, with room at both ends, within 0 to 100."""
    low, high = 100 * min(fractions), 100 * max(fractions)
    room = max(2.0, 0.15 * (high - low))
    return max(0.0, low - room), min(100.0, high + room)
