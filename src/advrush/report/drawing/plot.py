"""Matplotlib figures without global state, written as reproducible SVG."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from html import unescape
from io import StringIO
from typing import Any

import matplotlib
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from advrush.report.drawing.architectures import PAIRS
from advrush.report.drawing.drawn import Drawing
from advrush.report.drawing.palette import SERIES
from advrush.report.drawing.series import Value, values
from advrush.report.drawing.svg import subscripts

LETTERS = 130
"""Letters of a legend that stand beside each other in a figure's width; a line of color takes six."""

LEGEND_ROW = 0.18
"""Inches of height that a row of a legend takes."""

INK, LINE = "#1f2329", "#c9ced6"
"""Text and grid; in an SVG of `to_svg` they become the page's."""

ALIKE = re.compile(r'<use [^>]* style="([^"]*)"/>(?:\s*<use [^>]* style="\1"/>)+')
"""Marks of a line, which matplotlib writes with a style each."""

PAPER = "#ffffff"
"""Of hatches on bars."""

FEW = 6
"""Digests that stand in a corner; of more runs their number does."""

STYLE: Any = {
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": LINE,
    "axes.labelcolor": INK,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "grid.color": LINE,
    "grid.linewidth": 0.5,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.size": 0.0,
    "ytick.major.size": 0.0,
    "ytick.minor.size": 0.0,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
    "legend.frameon": False,
    "svg.fonttype": "none",
}


def new_figure(columns: int = 1, *, width: float = 9.4, height: float = 3.3) -> tuple[Figure, list[Axes]]:
    """Return a figure of `columns` panels with its axes; sizes in inches."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.subplots(1, columns, squeeze=False)[0]
    return figure, list(axes)


def legend_above(figure: Figure, axes: Iterable[Axes]) -> None:
    """Put one legend of all labels over the panels, where it hides nothing; the figure grows by its further rows."""
    found: dict[str, Any] = {}
    for axis in axes:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    if found:
        longest = max(len(label) for label in found)
        columns = max(1, min(len(found), 4, LETTERS // (longest + 6)))
        width, height = figure.get_size_inches()
        figure.set_size_inches(width, height + LEGEND_ROW * (math.ceil(len(found) / columns) - 1))
        figure.legend(
            list(found.values()),
            list(found),
            loc="outside upper left",
            ncols=columns,
            frameon=False,
            fontsize=9,
            labelcolor=INK,
        )


def xy(rows: Sequence[Any], key: str, *, scale: float = 1.0) -> tuple[list[int], list[float]]:
    """Return epochs (from 1) and values of the rows that have a value."""
    pairs = [(row["epoch"] + 1, row[key] * scale) for row in rows if isinstance(row.get(key), int | float)]
    return [epoch for epoch, _ in pairs], [value for _, value in pairs]


def signed(figure: Figure, *digests: str) -> Figure:
    """Return the figure with the digests of its runs small in the lower right corner: which runs it shows."""
    told = " ".join(dict.fromkeys(digests)) if len(digests) <= FEW else f"{len(digests)} runs"
    strip = 7 / 72 / figure.get_size_inches()[1]  # nothing else stands beside it
    if isinstance(engine := figure.get_layout_engine(), ConstrainedLayoutEngine):
        engine.set(rect=(0, strip, 1, 1 - strip))
    figure.text(0.998, 0.004, told, ha="right", va="bottom", fontsize=6, color=INK, alpha=0.7)
    return figure


def to_svg(figure: Figure, *, title: str) -> Drawing:
    """Write a figure as inline SVG: the same bytes for the same figure, no ids that clash, the page's own font.

    Colors of the palette become style variables with the color itself as fallback.
    """
    numbers = values(figure)
    buffer = StringIO()
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": title}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->", "", svg, flags=re.DOTALL)
    used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', svg))
    svg = re.sub(r' id="([^"]+)"', lambda match: match[0] if match[1] in used else "", svg)
    svg = ALIKE.sub(_cloud, svg)
    svg = re.sub(r"(font(?:-family)?: (?:[\d.]+px )?)'[^;\"]*", _font, svg)
    svg = re.sub(
        r">([^<>]*[A-Za-z\u0370-\u03ff]_[^<>]*)</text>", lambda match: f">{subscripts(unescape(match[1]))}</text>", svg
    )
    for color, name in [(INK, "ink"), (LINE, "line"), *_variables()]:
        svg = svg.replace(color, f"var(--{name}, {color})")
    label = Markup.escape(title)
    whole = svg.replace("<svg", f'<svg role="img" aria-label="{label}"', 1).strip()
    return Drawing.of(whole, title, Value._fields, numbers, figure)


def _variables() -> list[tuple[str, str]]:
    series = [(color, f"series-{index}") for index, color in enumerate(SERIES)]
    return series + [(light, f"arch-{index}") for index, (light, _) in enumerate(PAIRS)]


def _cloud(match: re.Match[str]) -> str:
    """Return the marks of a line with one style for all, at hundredths of a point: a third of the text."""
    marks = re.sub(rf' style="{re.escape(match[1])}"|\s*\n\s*', "", match[0])
    short = re.sub(r"(\.\d\d)\d+", r"\1", marks)
    return f'<g style="{match[1]}">{short}</g>'


def _font(match: re.Match[str]) -> str:
    return match[1] + "system-ui, sans-serif"
