"""Section "Curvature": Hessian and L_lambda of the loss in each image, one figure and one table for all networks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure

from advrush.report.drawing.architectures import Style
from advrush.report.drawing.plot import INK, new_figure, signed, to_svg
from advrush.report.identity import digests, network_styles
from advrush.report.names import analyzed_names
from advrush.report.records import Array, Record
from advrush.report.section import Chapter, Note, Picture, Render, Section, body
from advrush.report.table import Entry, Table

QUANTITIES = ("lambda_max", "frobenius", "trace", "l_lambda", "cosine")

CAPTION = (
    "Every dot is a test image: the largest eigenvalue of the Hessian of its loss with respect to the pixels (left), "
    "and the change of the gradient along its sign, L_λ (right). Black: the mean with its 95% bootstrap interval."
)
NOTE = (
    "In brackets: 95% bootstrap intervals over the images. λ_max, ‖H‖_F and trace: loss per squared pixel. c: how far "
    "the gradient points along the eigenvector of λ_max."
)


def curvature_figure(models: Mapping[str, tuple[Style, Mapping[str, Array]]]) -> Figure:
    """Draw lambda_max and L_lambda of each image as dots, one row a network, with the mean and its interval.

    `models` gives, by name, the network's style and its arrays; `<quantity>_interval` (mean, low, high)
    beside each quantity.
    """
    count = len(models)
    figure, (left, right) = new_figure(2, height=1.3 + 0.5 * count)
    for axis, key, label in ((left, "lambda_max", "λ_max of an image"), (right, "l_lambda", "L_λ of an image")):
        for row, (style, arrays) in enumerate(models.values()):
            values = np.maximum(arrays[key], 1e-12)
            spread = 0.6 * (np.arange(len(values)) * 0.618034 % 1 - 0.5)  # spread evenly, the same at each drawing
            axis.plot(values, row + spread, style.marker, color=style.color, alpha=0.45, markersize=2.5)
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


def curvature_table(models: Mapping[str, Mapping[str, Any]]) -> Table:
    """Return the means of curvature over the images, with their intervals; `models` gives the results by name."""
    names = {
        "lambda_max": "λ_max", "frobenius": "‖H‖_F", "trace": "trace", "l_lambda": "L_λ", "cosine": "c of Theorem 1",
    }  # fmt: skip
    rows = []
    for name, result in models.items():
        entries = [Entry(name, f"{100 * result['clean_acc']:.1f}% of {result['images']} right")]
        entries += [interval_entry(result[key]) for key in names]
        error = f"{result['relative_error']:.1g}"
        rows.append((*entries, Entry(str(result["method"]), f"relative error {error}")))
    caption = "Curvature of the loss in the image: means over the images"
    return Table(caption, ("network", *names.values(), "computed"), tuple(rows))


def interval_entry(value: Mapping[str, float]) -> Entry:
    """Return a mean with its interval."""
    return Entry(f"{value['mean']:.3g}", f"[{value['low']:.3g}, {value['high']:.3g}]")


def curvature_sentence(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Return which network is the flattest and which the most curved, and whether their intervals overlap."""
    order = sorted(results, key=lambda name: results[name]["lambda_max"]["mean"])
    if len(order) < 2:
        return ""
    flat, curved = (results[name]["lambda_max"] for name in (order[0], order[-1]))
    apart = "do not overlap" if flat["high"] < curved["low"] else "overlap: the images do not tell them apart"
    return (
        f"The flattest is {order[0]} with mean λ_max {flat['mean']:.3g}, the most curved {order[-1]} with "
        f"{curved['mean']:.3g}; their intervals {apart}."
    )


def curvature_body(analyses: Sequence[Record], records: Sequence[Record], render: Render) -> Markup:
    """Return the distribution of curvature over the images, one figure for all networks, and the table of means."""
    names = analyzed_names(analyses, records)
    styles = network_styles(analyses, {r.path: names[r.label] for r in analyses}, records)
    results = {names[r.label]: r.result or {} for r in analyses}
    arrays = {names[r.label]: a for r in analyses if (a := r.tensors("curvature.safetensors"))}
    shown: dict[str, tuple[Style, Mapping[str, Array]]] = {}
    for record in analyses:
        name = names[record.label]
        if name in arrays:
            means = {
                f"{key}_interval": np.array([results[name][key][side] for side in ("mean", "low", "high")])
                for key in QUANTITIES
            }
            shown[name] = styles[name], {**arrays[name], **means}
    svg = (
        to_svg(signed(curvature_figure(shown), *digests(analyses)), title="Curvature of each image by network")
        if shown
        else None
    )
    rows = [
        (name, image, int(a["y"][image]), int(a["correct"][image]), *(float(a[key][image]) for key in QUANTITIES))
        for name, a in arrays.items()
        for image in range(len(a["y"]))
    ]
    columns = ("network", "image", "label", "correct", *QUANTITIES)
    parts: list[Table | Picture | Note | str] = []
    if svg:
        parts.append(Picture(svg.showing("curvature", columns, rows), CAPTION))
    if line := curvature_sentence(results):
        parts.append(line)
    return body(render, *parts, curvature_table(results), Note(NOTE))


def numbers(record: Record) -> Mapping[str, str]:
    """Return the mean of the largest eigenvalue."""
    return {"lambda_max": f"{(record.result or {})['lambda_max']['mean']:.4g}"}


def sections(records: Sequence[Record], render: Render) -> Iterator[Section]:
    """Yield the section of all finished analyses of curvature."""
    if analyses := [record for record in records if record.kind == "analyze/curvature"]:
        yield Section("curvature", "Curvature", curvature_body(analyses, records, render))


CURVATURE = Chapter(sections, kind="analyze/curvature", numbers=numbers)
