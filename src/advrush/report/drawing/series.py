"""The numbers that a figure shows, read from its lines and bars."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from matplotlib.lines import Line2D


class Value(NamedTuple):
    """One point of a figure: what the panel's axes are, the series' name, and where it lies."""

    panel: str
    series: str
    x: float | str
    y: float


def values(figure: Figure) -> tuple[Value, ...]:
    """Return the points of all lines with at least one of their own, and the heights of all bars.

    A line without a name goes by that of a line of its color and mark, with its style where it is not solid.
    """
    named = {
        (to_hex(line.get_color()), _mark(line)): str(line.get_label())
        for axis in figure.axes
        for line in axis.lines
        if not str(line.get_label()).startswith("_") and np.size(line.get_xydata())
    }
    found: list[Value] = []
    for axis in figure.axes:
        panel = f"{axis.get_ylabel()} by {axis.get_xlabel() or 'name'}"
        found += _bars(axis, panel)
        if any(isinstance(each, BarContainer) for each in axis.containers):
            continue  # its lines are whiskers
        for line in axis.lines:
            points = np.asarray(line.get_xydata(), dtype=float)
            own = len(points) and line.get_transform() == axis.transData
            label = str(line.get_label())
            if label.startswith("_") and line.get_linestyle() == "None":
                continue  # a mark on another line
            if label.startswith("_"):
                label = named.get((to_hex(line.get_color()), _mark(line)), "")
                label += "" if line.get_linestyle() == "-" or not label else f" ({line.get_linestyle()})"
            if own and label:
                found += [Value(panel, label, float(x), float(y)) for x, y in points]
    return tuple(found)


def _mark(line: Line2D) -> str:
    return str(line.get_marker())


def _bars(axis: Axes, panel: str) -> list[Value]:
    names = [label.get_text() for label in axis.get_xticklabels()]
    found = []
    for container in axis.containers:
        if isinstance(container, BarContainer):
            for bar in container:
                place = round(bar.get_x() + bar.get_width() / 2)
                name = names[place] if 0 <= place < len(names) else str(place)
                found.append(Value(panel, str(container.get_label()), name, float(bar.get_height())))
    return found
