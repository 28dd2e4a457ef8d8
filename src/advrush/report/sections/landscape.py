"""Section "Loss landscapes": surfaces of the loss around images or weights, one range for all of a page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from advrush.report.drawing.architectures import page_color
from advrush.report.drawing.plot import INK, LINE, STYLE, signed, to_svg
from advrush.report.identity import network_styles
from advrush.report.names import analyzed_names
from advrush.report.records import Array, Record
from advrush.report.section import Chapter, Render, Section

SURFACE = "viridis"
"""A color map whose lightness rises evenly: it reads in gray and to the color-blind."""

LINES = 26
"""Lines of a drawn surface along each side; the data have more."""


class Range(NamedTuple):
    """What all surfaces of a page share: half side of the plane, smallest and largest loss."""

    extent: float
    low: float
    high: float


def surface_figure(
    mean: Array, coordinates: Array, shared: Range, *, around: str, direction: str, name: str = "", color: str = INK
) -> Figure:
    """Draw a loss surface in space and as contours; ranges, levels and colors are those of all networks of a page.

    `name` stands above in `color`, the architecture's (see `drawing.architectures`)."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9.4, 3.9), dpi=130)
        FigureCanvasSVG(figure)
        space = figure.add_axes((0.02, 0.05, 0.5, 0.98), projection="3d")
        space.set_box_aspect((4, 4, 3), zoom=0.9)  # type: ignore[arg-type, call-arg]
        plane = figure.add_axes((0.6, 0.15, 0.3, 0.77))
        bar = figure.add_axes((0.915, 0.15, 0.016, 0.77))
    figure.text(0.012, 0.985, name, color=color, fontsize=10, fontweight="bold", va="top")
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
    figure.colorbar(filled, cax=bar, label="mean loss, nats", ticks=MaxNLocator(6))
    bar.grid(visible=False)
    return figure


def surface_numbers(
    mean: Array, coordinates: Array, *, around: str, direction: str
) -> tuple[tuple[str, ...], list[tuple[float, float, float]]]:
    """Return the columns and rows of a surface: both coordinates of each point, and the loss there."""
    axis = [float(value) for value in coordinates]
    rows = [(a, b, float(mean[i, j])) for i, a in enumerate(axis) for j, b in enumerate(axis)]
    return (*(each.replace(",", "") for each in axis_names(around, direction)), "mean loss"), rows


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
    space.set_xlabel(first, fontsize=8)
    space.set_ylabel(second, fontsize=8)
    space.set_zlabel("mean loss, nats", fontsize=8)
    space.view_init(elev=28, azim=-122)  # the loss rises away from the viewer, who sees all of the slope
    for axis in (space.xaxis, space.yaxis, space.zaxis):
        axis.set_major_locator(MaxNLocator(5))
        axis.set_pane_color((0, 0, 0, 0))
        axis.line.set_color(LINE)
        axis._axinfo["grid"].update(color=LINE, linewidth=0.4)
    space.tick_params(labelsize=7, pad=1)


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


def landscape_body(analyses: Sequence[Record], records: Sequence[Record], render: Render) -> Markup:
    """Return the surfaces of all networks, grouped by what was moved, with one range of losses for a group."""
    groups: dict[tuple[str, str], list[tuple[Record, dict[str, Array]]]] = {}
    for record in analyses:
        result, arrays = record.result or {}, record.tensors("landscape.safetensors")
        if arrays:
            direction = str(result["direction"]) if result["around"] == "input" else ""
            groups.setdefault((str(result["around"]), direction), []).append((record, arrays))
    shown = [
        _group(around, direction, members, analyzed_names([r for r, _ in members], records), records)
        for (around, direction), members in groups.items()
    ]
    return render("landscape.html.j2", groups=shown)


def _group(
    around: str,
    direction: str,
    members: Sequence[tuple[Record, dict[str, Array]]],
    names: Mapping[str, str],
    records: Sequence[Record],
) -> dict[str, Any]:
    shared = Range(
        max(float(arrays["coordinates"].max()) for _, arrays in members),
        min(float(arrays["mean"].min()) for _, arrays in members),
        max(float(arrays["mean"].max()) for _, arrays in members),
    )
    styles = network_styles([r for r, _ in members], {r.path: names[r.label] for r, _ in members}, records)
    surfaces = []
    for record, arrays in members:
        name, result = names[record.label], record.result or {}
        figure = surface_figure(
            arrays["mean"], arrays["coordinates"], shared, around=around, direction=direction, name=name,
            color=styles[name].color,
        )  # fmt: skip
        svg = to_svg(
            signed(figure, record.digest), title=f"{name}: loss around the {around} {direction} {record.digest}"
        )
        numbers = surface_numbers(arrays["mean"], arrays["coordinates"], around=around, direction=direction)
        surfaces.append({
            "name": name, "color": page_color(styles[name].color),
            "svg": svg.showing(f"landscape {around} {name}", *numbers), "sentence": surface_sentence(result),
            "digest": record.digest, "reach": float(arrays["coordinates"][-1]),
            "numbers": " ".join(f"{value:.4g}" for value in arrays["mean"].ravel()),
        })  # fmt: skip
    moved = "the images" if around == "input" else "the weights"
    return {
        "title": f"Around {moved}", "surfaces": surfaces, "many": len(surfaces) > 1,
        "axes": axis_names(around, direction), "range": shared,
    }  # fmt: skip


def numbers(record: Record) -> Mapping[str, str]:
    """Return the mean of the largest eigenvalue, and the steepest slope."""
    result = record.result or {}
    found = {"lambda_max": result["lambda_max"]["mean"], "steepest_slope": result["steepest_slope"]["value"]}
    return {name: f"{value:.4g}" for name, value in found.items()}


def sections(records: Sequence[Record], render: Render) -> Iterator[Section]:
    """Yield the section of all finished landscapes."""
    if analyses := [record for record in records if record.kind == "analyze/landscape"]:
        yield Section("landscape", "Loss landscapes", landscape_body(analyses, records, render))


LANDSCAPE = Chapter(sections, kind="analyze/landscape", numbers=numbers)
