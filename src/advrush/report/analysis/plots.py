"""The figures of analyses: curvature of each image, loss surfaces, the path of Theorem 1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from advrush.report.drawing.palette import series_color
from advrush.report.drawing.plot import INK, LINE, STYLE, new_figure
from advrush.report.records import Array

SURFACE = "viridis"
"""A color map whose lightness rises evenly: it reads in gray and to the color-blind."""

LINES = 26
"""Lines of a drawn surface along each side; the data have more."""


class Range(NamedTuple):
    """What all surfaces of a page share: half side of the plane, smallest and largest loss."""

    extent: float
    low: float
    high: float


def curvature_figure(models: Mapping[str, tuple[int, Mapping[str, Array]]]) -> Figure:
    """Draw lambda_max and L_lambda of each image as dots, one row a network, with the mean and its interval.

    `models` gives, by name, the index of the network's color and its arrays; `<quantity>_interval` (mean, low, high)
    beside each quantity.
    """
    count = len(models)
    figure, (left, right) = new_figure(2, height=1.3 + 0.5 * count)
    for axis, key, label in ((left, "lambda_max", "λ_max of an image"), (right, "l_lambda", "L_λ of an image")):
        for row, (index, arrays) in enumerate(models.values()):
            values = np.maximum(arrays[key], 1e-12)
            spread = 0.28 * np.sin(np.arange(len(values)) * 2.399963)  # spread evenly, the same at each drawing
            axis.plot(values, row + spread, ".", color=series_color(index), alpha=0.45, markersize=4)
            mean, low, high = arrays[f"{key}_interval"]
            axis.plot([low, high], [row, row], color=INK, linewidth=2.2)
            axis.plot([mean], [row], "o", color=INK, markersize=5)
        axis.set_xscale("log")
        smallest = min(float(arrays[key].max()) for _, arrays in models.values()) * 1e-5
        axis.set_xlim(left=max(axis.get_xlim()[0], smallest))
        axis.set_xlabel(f"{label}, loss / pixel{'²' if key == 'lambda_max' else ''}")
        axis.set_ylim(count - 0.45, -0.55)
        axis.set_yticks(range(count), list(models) if axis is left else [""] * count)
        axis.grid(visible=False, axis="y")
    return figure


def surface_figure(mean: Array, coordinates: Array, shared: Range, *, around: str, direction: str) -> Figure:
    """Draw a loss surface in space and as contours; ranges, levels and colors are those of all networks of a page."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9.4, 3.9), dpi=130)
        FigureCanvasSVG(figure)
        space = figure.add_axes((0.0, 0.02, 0.5, 1.0), projection="3d")
        plane = figure.add_axes((0.6, 0.15, 0.3, 0.77))
        bar = figure.add_axes((0.915, 0.15, 0.016, 0.77))
    levels = np.linspace(shared.low, shared.high, 17)
    first, second = axis_names(around, direction)
    i, j = np.meshgrid(coordinates, coordinates, indexing="ij")
    each = max(1, round((len(coordinates) - 1) / (LINES - 1)))
    space.plot_surface(  # type: ignore[attr-defined]
        i, j, mean, cmap=SURFACE, vmin=shared.low, vmax=shared.high, rstride=each, cstride=each, linewidth=0.2,
        edgecolor=INK, antialiased=True, rasterized=True,  # thousands of faces: an image is ten times smaller
    )  # fmt: skip
    _dress(space, shared, first, second)
    filled = plane.contourf(i, j, mean, levels=levels, cmap=SURFACE, vmin=shared.low, vmax=shared.high)
    plane.contour(i, j, mean, levels=levels, colors=INK, linewidths=0.4)
    plane.plot([0], [0], "+", color="#ffffff", markersize=9, markeredgewidth=2)
    plane.set_xlim(-shared.extent, shared.extent)
    plane.set_ylim(-shared.extent, shared.extent)
    plane.set_aspect("equal", adjustable="box")
    plane.grid(visible=False)
    plane.set_xlabel(first)
    plane.set_ylabel(second)
    for axis in (plane.xaxis, plane.yaxis):
        axis.set_major_locator(MaxNLocator(5))
    figure.colorbar(filled, cax=bar, label="mean loss", ticks=MaxNLocator(6))
    bar.grid(visible=False)
    return figure


def axis_names(around: str, direction: str) -> tuple[str, str]:
    """Return the names of a surface's axes with their units."""
    if around == "weights":
        return "first random direction, filter norms", "second random direction, filter norms"
    name = "gradient's sign" if direction == "sign" else "gradient"
    return f"along the {name}, rms pixels", "random direction, rms pixels"


def _dress(space: Any, shared: Range, first: str, second: str) -> None:
    space.set_xlim(-shared.extent, shared.extent)
    space.set_ylim(-shared.extent, shared.extent)
    space.set_zlim(shared.low, shared.high)
    space.set_xlabel(first.split(",")[0], fontsize=8)
    space.set_ylabel(second.split(",")[0], fontsize=8)
    space.set_zlabel("mean loss", fontsize=8)
    space.view_init(elev=28, azim=-58)
    for axis in (space.xaxis, space.yaxis, space.zaxis):
        axis.set_major_locator(MaxNLocator(5))
        axis.set_pane_color((0, 0, 0, 0))
        axis.line.set_color(LINE)
        axis._axinfo["grid"].update(color=LINE, linewidth=0.4)
    space.tick_params(labelsize=7, pad=1)


def path_figure(points: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw losses (left) and lambda_max (middle) along the path, and one against the other (right)."""
    figure, (losses, curvature, both) = new_figure(3, height=3.2)
    t = [point["t"] for point in points]
    _band(losses, t, points, "adversarial_loss", color=series_color(1), label="largest under PGD")
    _band(losses, t, points, "loss", color=series_color(0), label="without attack")
    losses.set_ylabel("mean loss")
    losses.set_ylim(bottom=0)
    losses.legend(frameon=False, fontsize=8, labelcolor=INK)
    _band(curvature, t, points, "lambda_max", color=series_color(3), label="λ_max")
    curvature.set_ylabel("mean λ_max, loss / pixel²")
    curvature.set_ylim(bottom=0)
    for axis in (losses, curvature):
        axis.set_xlabel("t: 0 standard, 1 adversarial training")
    x, y = ([point[key]["mean"] for point in points] for key in ("lambda_max", "adversarial_loss"))
    both.plot(x, y, color=LINE, linewidth=1)
    both.plot(x, y, "o", color=series_color(2), markersize=5)
    for place in (0, len(points) - 1):
        both.annotate(
            f"t = {t[place]:g}", (x[place], y[place]), (6, -3), textcoords="offset points", fontsize=8, color=INK
        )
    both.margins(x=0.18)
    both.set_xlabel("mean λ_max, loss / pixel²")
    both.set_ylabel("largest loss under PGD")
    return figure


def _band(axis: Axes, t: Sequence[float], points: Sequence[Any], key: str, *, color: str, label: str) -> None:
    """Draw a mean and its interval along the path."""
    low, high = ([point[key][side] for point in points] for side in ("low", "high"))
    axis.fill_between(t, low, high, color=color, alpha=0.18, linewidth=0)
    axis.plot(t, [point[key]["mean"] for point in points], "o-", color=color, markersize=3, label=label)
