"""Section "From standard to adversarial": loss and curvature along a path between two networks (Theorem 1)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from advrush.report.drawing.palette import series_color
from advrush.report.drawing.plot import INK, LINE, new_figure, signed, to_svg
from advrush.report.identity import network_styles
from advrush.report.names import network_name
from advrush.report.records import Record
from advrush.report.section import Chapter, Render, Section


def path_figure(points: Sequence[Mapping[str, Any]], *, color: str = INK) -> Figure:
    """Draw losses (left) and lambda_max (middle) along the path, and one against the other (right), in `color`."""
    figure, (losses, curvature, both) = new_figure(3, height=3.2)
    t = [point["t"] for point in points]
    _band(losses, t, points, "adversarial_loss", color=series_color(1), label="largest under PGD")
    _band(losses, t, points, "loss", color=series_color(0), label="without attack")
    losses.set_ylabel("mean loss, nats")
    losses.set_ylim(bottom=0)
    losses.legend(frameon=False, fontsize=8, labelcolor=INK)
    _band(curvature, t, points, "lambda_max", color=series_color(3), label="λ_max")
    curvature.set_ylabel("mean λ_max, loss / pixel²")
    curvature.set_ylim(bottom=0)
    for axis in (losses, curvature):
        axis.set_xlabel("t: 0 standard, 1 adversarial training")
    x, y = ([point[key]["mean"] for point in points] for key in ("lambda_max", "adversarial_loss"))
    both.plot(x, y, color=LINE, linewidth=1)
    both.plot(x, y, "o", color=color, markersize=5)
    for place in (0, len(points) - 1):
        both.annotate(
            f"t = {t[place]:g}", (x[place], y[place]), (6, -3), textcoords="offset points", fontsize=8, color=INK
        )
    both.margins(x=0.18)
    both.set_xlabel("mean λ_max, loss / pixel²")
    both.set_ylabel("largest loss under PGD, nats")
    return figure


def _band(axis: Axes, t: Sequence[float], points: Sequence[Any], key: str, *, color: str, label: str) -> None:
    """Draw a mean and its interval along the path."""
    low, high = ([point[key][side] for point in points] for side in ("low", "high"))
    axis.fill_between(t, low, high, color=color, alpha=0.18, linewidth=0)
    axis.plot(t, [point[key]["mean"] for point in points], "o-", color=color, markersize=3, label=label)


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


def path_body(analyses: Sequence[Record], records: Sequence[Record], render: Render) -> Markup:
    """Return the figure of each path with what it says of Theorem 1."""
    shown = []
    for record in analyses:
        result = record.result or {}
        ends = [network_name(label, record, records) for label in result["models"]]
        style = network_styles([record], {record.path: record.label}, records)[record.label]
        svg = to_svg(
            signed(path_figure(result["points"], color=style.color), record.digest),
            title=f"Path from {ends[0]} to {ends[1]} {record.digest}",
        )
        keys = ("loss", "adversarial_loss", "lambda_max", "cosine")
        columns = ("t", *(f"{key} {side}" for key in keys for side in ("mean", "low", "high")), "clean", "robust")
        rows = [
            (p["t"], *(float(p[key][side]) for key in keys for side in ("mean", "low", "high")), p["clean_acc"],
             p["robust_acc"])
            for p in result["points"]
        ]  # fmt: skip
        shown.append({
            "ends": ends, "svg": svg.showing(f"path {record.digest}", columns, rows),
            "sentences": path_sentences(result), "digest": record.digest, "images": result["images"],
            "eps": result["threat_model"]["eps"],
        })  # fmt: skip
    return render("path.html.j2", paths=shown)


def numbers(record: Record) -> Mapping[str, str]:
    """Return the correlation of the largest eigenvalue with the loss under attack."""
    pearson = (record.result or {})["correlation"]["pearson"]
    return {"Pearson": f"{pearson['value']:.3f}" if pearson else "–"}


def sections(records: Sequence[Record], render: Render) -> Iterator[Section]:
    """Yield the section of all finished paths."""
    if analyses := [record for record in records if record.kind == "analyze/path"]:
        yield Section("path", "From standard to adversarial", path_body(analyses, records, render))


PATH = Chapter(sections, kind="analyze/path", numbers=numbers)
