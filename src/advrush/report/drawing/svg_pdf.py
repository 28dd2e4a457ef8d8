"""Drawings as PDF: matplotlib's figures, and the project's own SVG (rectangles, paths, texts), drawn by matplotlib."""

from __future__ import annotations

import re
from collections.abc import Iterator
from io import BytesIO
from typing import Any
from xml.etree import ElementTree

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, PathPatch
from matplotlib.path import Path
from matplotlib.text import Text

from advrush.report.drawing.drawn import Drawing
from advrush.report.drawing.plot import INK, STYLE
from advrush.report.drawing.svg import SYMBOL

PIXEL = 0.75 / 72
"""Inches of an SVG pixel."""


def to_pdf(drawing: str) -> bytes:
    """Return a drawing of `svg.document` as a PDF of its own size; the same bytes each time.

    It knows what those drawings are made of: groups with a translation, rect, path (M, L, C, H) and text with tspans.
    """
    return _written(_figure(ElementTree.fromstring(str(drawing))), {"font.family": "sans-serif"})


def drawn_pdf(drawing: Drawing) -> bytes:
    """Return a drawing of a report as PDF; the same bytes each time."""
    if drawing.figure is None:
        return to_pdf(drawing)
    for text in drawing.figure.findobj(Text):
        text.set_text(SYMBOL.sub(r"$\\mathrm{\1}_{\\mathrm{\2}}$", text.get_text()))
    return _written(drawing.figure, STYLE)


def _written(figure: Figure, style: Any) -> bytes:
    buffer = BytesIO()
    metadata = {"CreationDate": None, "ModDate": None, "Creator": None, "Producer": None}
    with matplotlib.rc_context({**style, "pdf.fonttype": 42}):
        figure.savefig(buffer, format="pdf", metadata=metadata)
    return buffer.getvalue()


def _figure(root: ElementTree.Element) -> Figure:
    width, height = float(root.get("width", "0")), float(root.get("height", "0"))
    figure = Figure(figsize=(width * PIXEL, height * PIXEL))
    FigureCanvasPdf(figure)
    axis = figure.add_axes((0, 0, 1, 1))
    axis.set_xlim(0, width)
    axis.set_ylim(height, 0)
    axis.axis("off")
    for order, (element, x, y, opacity) in enumerate(_placed(root, 0.0, 0.0, 1.0)):
        tag = element.tag.rpartition("}")[2]
        if tag == "rect":
            _rect(axis, element, x, y, opacity, order)
        elif tag == "path":
            _path(axis, element, x, y, opacity, order)
        elif tag == "text":
            _text(axis, element, x, y, opacity, order)
    return figure


def _placed(
    element: ElementTree.Element, x: float, y: float, opacity: float
) -> Iterator[tuple[ElementTree.Element, float, float, float]]:
    """Yield the elements with their groups' translation and opacity."""
    if move := re.match(r"translate\(([-\d.]+)[ ,]+([-\d.]+)\)", element.get("transform", "")):
        x, y = x + float(move[1]), y + float(move[2])
    opacity *= float(element.get("opacity", "1"))
    yield element, x, y, opacity
    for child in element:
        yield from _placed(child, x, y, opacity)


def _color(element: ElementTree.Element, name: str, opacity: float) -> tuple[str, float] | str:
    """Return a fill or stroke with its opacity, "none" where there is none."""
    value = element.get(name, "none")
    if value == "none":
        return "none"
    plain = re.sub(r"var\([^,]*, *([^)]+)\)", r"\1", value).replace("currentColor", INK)
    return plain, opacity * float(element.get(f"{name}-opacity", "1"))


def _rect(axis: Axes, element: ElementTree.Element, x: float, y: float, opacity: float, order: int) -> None:
    left, top, width, height, radius = (float(element.get(k, "0")) for k in ("x", "y", "width", "height", "rx"))
    style = f"round,pad=0,rounding_size={radius}" if radius else "square,pad=0"
    box = FancyBboxPatch(
        (x + left, y + top), width, height, boxstyle=style, facecolor=_color(element, "fill", opacity),
        edgecolor=_color(element, "stroke", opacity), linewidth=0.75 * float(element.get("stroke-width", "0")),
        zorder=order, linestyle=_dashes(element),
    )  # fmt: skip
    axis.add_patch(box)


def _path(axis: Axes, element: ElementTree.Element, x: float, y: float, opacity: float, order: int) -> None:
    points: list[tuple[float, float]] = []
    codes: list[int] = []
    for command, text in re.findall(r"([MLCH])([^MLCH]*)", element.get("d", "")):
        numbers = [float(value) for value in re.findall(r"-?[\d.]+", text)]
        if command == "H":
            numbers = [numbers[0], points[-1][1] - y]
        pairs = list(zip(numbers[::2], numbers[1::2], strict=True))
        points += [(x + a, y + b) for a, b in pairs]
        codes += [int({"M": Path.MOVETO, "C": Path.CURVE4}.get(command, Path.LINETO))] * len(pairs)
    patch = PathPatch(
        Path(points, codes), facecolor="none", edgecolor=_color(element, "stroke", opacity),
        linewidth=0.75 * float(element.get("stroke-width", "1")), linestyle=_dashes(element), zorder=order,
    )  # fmt: skip
    axis.add_patch(patch)


def _dashes(element: ElementTree.Element) -> tuple[float, tuple[float, ...] | None]:
    pattern = element.get("stroke-dasharray")
    return (0.0, tuple(float(value) for value in pattern.split()) if pattern else None)


def _text(axis: Axes, element: ElementTree.Element, x: float, y: float, opacity: float, order: int) -> None:
    """Draw a text; lowered tspans become subscripts of matplotlib's own."""
    content = (element.text or "") + "".join(
        rf"$_{{\mathrm{{{span.text}}}}}$" if span.get("dy", "").startswith("0.") else (span.text or "")
        for span in element
    )
    align = {"middle": "center", "end": "right"}.get(element.get("text-anchor", ""), "left")
    color = _color(element, "fill", opacity)
    axis.text(
        x + float(element.get("x", "0")), y + float(element.get("y", "0")), content, ha=align, va="baseline",
        fontsize=0.75 * float(element.get("font-size", "12")), color=INK if color == "none" else color[0],
        fontweight="bold" if int(element.get("font-weight", "400")) >= 600 else "normal", zorder=order, alpha=opacity,
    )  # fmt: skip
