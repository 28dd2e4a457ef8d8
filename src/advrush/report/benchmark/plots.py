"""The figures of benchmarks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from advrush.report.drawing.palette import series_color
from advrush.report.drawing.plot import INK, LINE, legend_above, new_figure

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


def path_figure(result: Mapping[str, Any]) -> Figure | None:
    """Draw the percentile of the cell so far after each epoch of the searches: the mean of the seeds, and each thin."""
    figure, (axis,) = new_figure(1, height=3.2)
    for index, method in enumerate(result["methods"]):
        paths = [find["path"] for find in method["finds"] if any(v is not None for v in find.get("path", ()))]
        if not paths:
            continue
        length = min(len(path) for path in paths)
        values = np.array([[np.nan if v is None else v for v in path[:length]] for path in paths], dtype=float)
        epochs = range(1, length + 1)
        for path in values if len(paths) > 1 else ():
            axis.plot(epochs, path, color=series_color(index), alpha=0.25, linewidth=0.8)
        known = ~np.isnan(values)
        mean = np.where(known, values, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
        mean = np.where(known.any(axis=0), mean, np.nan)
        axis.plot(epochs, mean, color=series_color(index), label=method["label"])
    if not axis.lines:
        return None
    axis.set_ylim(103, -3)
    axis.set_xlabel("epoch")
    axis.set_ylabel("percentile from the top")
    legend_above(figure, [axis])
    return figure


def predictors_figure(result: Mapping[str, Any]) -> Figure:
    """Draw Kendall's tau of each score with its interval, plain and given the number of parameters."""
    found = [each for each in result["predictors"] if each["kendall"]]
    found.sort(key=lambda each: -float(each["kendall"]["value"]))
    figure, (axis,) = new_figure(1, height=1.3 + 0.34 * len(found))
    series = (("kendall", "Kendall's tau", -0.12), ("kendall_partial", "given the parameters", 0.14))
    for color, (key, name, shift) in enumerate(series):
        rows = [(row, each[key]) for row, each in enumerate(found) if each[key]]
        for row, value in rows:
            axis.plot([value["low"], value["high"]], [row + shift] * 2, color=series_color(color), alpha=0.45)
        points = [value["value"] for _, value in rows]
        axis.plot(points, [row + shift for row, _ in rows], "o", color=series_color(color), markersize=5, label=name)
    axis.axvline(0, color=LINE, linewidth=1)
    axis.set_ylim(len(found) - 0.5, -0.6)
    axis.set_yticks(range(len(found)), [each["about"] + (" (counts)" if each["counts"] else "") for each in found])
    axis.set_xlabel(f"rank correlation with {result['measure']}, in the direction that is said to be better")
    axis.grid(visible=False, axis="y")
    legend_above(figure, [axis])
    return figure
