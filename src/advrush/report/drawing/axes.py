"""Parts that several figures share: the axis of epochs, marks on it, a logarithmic curve of L_lambda."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from advrush.report.drawing.architectures import Style
from advrush.report.drawing.plot import INK, xy

Rows = Sequence[Mapping[str, Any]]
"""Rows of metrics.jsonl, one an epoch."""


def epoch_axis(axis: Axes) -> None:
    """Count epochs along the panel."""
    axis.set_xlabel("epoch")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def dots(rows: Sequence[Any]) -> dict[str, Any]:
    """Return dots for few points: a single epoch would draw no line."""
    return {"marker": "o", "markersize": 3} if len(rows) <= 30 else {}


def log_curve(axis: Axes, rows: Rows, *, style: Style, label: str) -> None:
    """Draw L_lambda against the epoch on a logarithmic scale."""
    epochs, values = xy(rows, "curvature")
    pairs = [(epoch, value) for epoch, value in zip(epochs, values, strict=True) if value > 0]
    if pairs:
        axis.plot(*zip(*pairs, strict=True), color=style.color, label=label, **style.points(len(pairs)))
        axis.set_yscale("log")
        axis.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.yaxis.set_minor_locator(NullLocator())


def switch_epoch(rows: Rows) -> int | None:
    """Return the first epoch (from 1) that the whole objective governs, None if there was no warm-up before it."""
    phases = [row.get("phase") for row in rows]
    if "warmup" not in phases or "objective" not in phases:
        return None
    return int(rows[phases.index("objective")]["epoch"]) + 1


def mark_switch(axis: Axes, rows: Rows) -> None:
    """Mark where the warm-up ends with a line and a word above the panel."""
    if (epoch := switch_epoch(rows)) is not None:
        axis.axvline(epoch - 0.5, color=INK, linewidth=1, linestyle=(0, (2, 2)))
        axis.annotate(
            "objective on", (epoch - 0.5, 1), (0, 2), xycoords=("data", "axes fraction"), textcoords="offset points",
            va="bottom", ha="center", fontsize=8, color=INK,
        )  # fmt: skip


def rate_drops(rows: Rows) -> list[int]:
    """Return the epochs (from 0) at whose begin the learning rate is at most half of that of the epoch before.

    Not the end of a cosine, which falls by such factors too: a drop is a step, the rate is the same before and after.
    """
    rates = [float(row["lr"]) for row in rows if isinstance(row.get("lr"), int | float)]
    found = []
    for epoch in range(1, len(rates)):
        level = epoch < 2 or rates[epoch - 2] == rates[epoch - 1]
        if level and 0 < rates[epoch] <= 0.5 * rates[epoch - 1]:
            found.append(epoch)
    return found


def mark_drops(axes: Sequence[Axes], rows: Rows, color: str) -> bool:
    """Mark the drops of the learning rate with dotted lines; return whether there are any."""
    drops = rate_drops(rows)
    for axis in axes:
        for epoch in drops:
            axis.axvline(epoch + 0.5, color=color, linewidth=1, linestyle=(0, (1, 2)), zorder=0)
    return bool(drops)
