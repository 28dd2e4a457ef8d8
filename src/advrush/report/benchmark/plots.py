"""The figures of benchmarks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from advrush.report.drawing.palette import series_color
from advrush.report.drawing.plot import INK, LINE, new_figure

BAND = 2.2
"""Height of the distribution, in rows of methods."""


def distribution_figure(result: Mapping[str, Any]) -> Figure:
    """Draw the distribution of all rows of a table, and below it what each method found, a row of dots for each."""
    values, methods = np.asarray(result["values"], dtype=float), result["methods"]
    figure, (axis,) = new_figure(1, height=1.5 + 0.36 * (len(methods) + BAND))
    counts, edges = np.histogram(values, bins=min(60, max(8, round(2 * len(values) ** 0.5))))
    height = BAND * counts / counts.max()
    axis.stairs(-0.6 - height, edges, baseline=-0.6, fill=True, color=LINE)
    axis.plot([np.median(values)] * 2, [-0.6 - BAND, len(methods) - 0.5], color=LINE, linewidth=1, linestyle="--")
    for row, method in enumerate(methods):
        found = [find["value"] for find in method["finds"] if "value" in find]
        spread = 0.22 * np.sin(np.arange(len(found)) * 2.399963)
        axis.plot(found, row + spread, "o", color=series_color(row), markersize=5, alpha=0.75, label=method["label"])
        if len(found) > 1:
            axis.plot([float(np.mean(found))], [row], "|", color=INK, markersize=14, markeredgewidth=1.6)
    axis.set_ylim(len(methods) - 0.4, -0.8 - BAND)
    ticks = [-0.6 - BAND / 2, *range(len(methods))]
    axis.set_yticks(ticks, [f"all {len(values):,}", *(method["label"] for method in methods)])
    axis.set_xlabel(f"{result['measure']} ({result['table']})")
    axis.grid(visible=False, axis="y")
    return figure
