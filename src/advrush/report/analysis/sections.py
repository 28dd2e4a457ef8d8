"""The bodies of the report's sections for analysis runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from advrush.report.analysis.plots import Range, axis_names, curvature_figure, path_figure, surface_figure
from advrush.report.analysis.sentences import curvature_sentence, path_sentences, surface_sentence
from advrush.report.analysis.tables import architecture_table, curvature_table
from advrush.report.downloads import csv_file, svg_file
from advrush.report.drawing.plot import signed, to_svg
from advrush.report.names import network_name
from advrush.report.records import Array, Record

Render = Callable[..., Markup]

QUANTITIES = ("lambda_max", "frobenius", "trace", "l_lambda", "cosine")


def analysis_bodies(records: Sequence[Record], render: Render) -> Iterator[tuple[str, str, Markup]]:
    """Yield id, title and body of the sections that finished analyses give rise to, in reading order."""
    found: dict[str, list[Record]] = {}
    for record in records:
        if record.stage == "analyze" and record.result:
            found.setdefault(str(record.result.get("what")), []).append(record)
    bodies: dict[str, tuple[str, Callable[[Sequence[Record], Sequence[Record], Render], Markup]]] = {
        "architecture": ("Anatomy", architecture_body), "curvature": ("Curvature", curvature_body),
        "landscape": ("Loss landscapes", landscape_body), "path": ("From standard to adversarial", path_body),
    }  # fmt: skip
    for what, (title, body) in bodies.items():
        if members := found.get(what):
            yield what, title, body(members, records, render)


def architecture_body(analyses: Sequence[Record], records: Sequence[Record], render: Render) -> Markup:
    """Return Table 6 of each run."""
    tables = [architecture_table((record.result or {})["rows"]) for record in analyses]
    files = [csv_file("architecture", table.columns, _texts(table.rows)) for table in tables]
    printed = any("printed" in row for record in analyses for row in (record.result or {})["rows"])
    return render("anatomy.html.j2", tables=list(zip(tables, files, strict=True)), printed=printed)


def _texts(rows: Sequence[Sequence[Any]]) -> list[list[str]]:
    return [[entry.text for entry in row] for row in rows]


def curvature_body(analyses: Sequence[Record], records: Sequence[Record], render: Render) -> Markup:
    """Return the distribution of curvature over the images, one figure for all networks, and the table of means."""
    names, colors = _names(analyses, records), _colors(records)
    results = {names[r.label]: r.result or {} for r in analyses}
    arrays = {names[r.label]: a for r in analyses if (a := r.tensors("curvature.safetensors"))}
    shown: dict[str, tuple[int, Mapping[str, Array]]] = {}
    for record in analyses:
        name = names[record.label]
        if name in arrays:
            means = {
                f"{key}_interval": np.array([results[name][key][side] for side in ("mean", "low", "high")])
                for key in QUANTITIES
            }
            shown[name] = colors[str(results[name]["model"])], {**arrays[name], **means}
    svg = to_svg(curvature_figure(shown), title="Curvature of each image by network") if shown else None
    rows = [
        (name, image, int(a["y"][image]), int(a["correct"][image]), *(float(a[key][image]) for key in QUANTITIES))
        for name, a in arrays.items()
        for image in range(len(a["y"]))
    ]
    columns = ("network", "image", "label", "correct", *QUANTITIES)
    files = [svg_file("curvature", svg), csv_file("curvature", columns, rows)] if svg else []
    sentence = curvature_sentence(results)
    return render("curvature.html.j2", svg=svg, files=files, means=curvature_table(results), sentence=sentence)


def landscape_body(analyses: Sequence[Record], records: Sequence[Record], render: Render) -> Markup:
    """Return the surfaces of all networks, grouped by what was moved, with one range of losses for a group."""
    groups: dict[tuple[str, str], list[tuple[Record, dict[str, Array]]]] = {}
    for record in analyses:
        result, arrays = record.result or {}, record.tensors("landscape.safetensors")
        if arrays:
            direction = str(result["direction"]) if result["around"] == "input" else ""
            groups.setdefault((str(result["around"]), direction), []).append((record, arrays))
    shown = [
        _group(around, direction, members, _names([r for r, _ in members], records))
        for (around, direction), members in groups.items()
    ]
    return render("landscape.html.j2", groups=shown)


def _group(
    around: str, direction: str, members: Sequence[tuple[Record, dict[str, Array]]], names: Mapping[str, str]
) -> dict[str, Any]:
    shared = Range(
        max(float(arrays["coordinates"].max()) for _, arrays in members),
        min(float(arrays["mean"].min()) for _, arrays in members),
        max(float(arrays["mean"].max()) for _, arrays in members),
    )
    surfaces = []
    for record, arrays in members:
        name, result = names[record.label], record.result or {}
        figure = surface_figure(arrays["mean"], arrays["coordinates"], shared, around=around, direction=direction)
        svg = to_svg(
            signed(figure, record.digest), title=f"{name}: loss around the {around} {direction} {record.digest}"
        )
        axis = [float(value) for value in arrays["coordinates"]]
        rows = [(a, b, float(arrays["mean"][i, j])) for i, a in enumerate(axis) for j, b in enumerate(axis)]
        columns = (*(each.replace(",", "") for each in axis_names(around, direction)), "mean loss")
        title = f"landscape {around} {name}"
        surfaces.append({
            "name": name, "svg": svg, "files": [svg_file(title, svg), csv_file(title, columns, rows)],
            "sentence": surface_sentence(result), "digest": record.digest, "reach": axis[-1],
            "numbers": " ".join(f"{value:.4g}" for value in arrays["mean"].ravel()),
        })  # fmt: skip
    moved = "the images" if around == "input" else "the weights"
    axes = [name.split(",")[0] for name in axis_names(around, direction)]
    return {
        "title": f"Around {moved}", "surfaces": surfaces, "many": len(surfaces) > 1, "axes": axes,
        "range": shared,
    }  # fmt: skip


def path_body(analyses: Sequence[Record], records: Sequence[Record], render: Render) -> Markup:
    """Return the figure of each path with what it says of Theorem 1."""
    shown = []
    for record in analyses:
        result = record.result or {}
        ends = [network_name(label, record, records) for label in result["models"]]
        svg = to_svg(
            signed(path_figure(result["points"]), record.digest),
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
            "ends": ends, "svg": svg, "files": [svg_file("path", svg), csv_file("path", columns, rows)],
            "sentences": path_sentences(result), "digest": record.digest, "images": result["images"],
            "eps": result["threat_model"]["eps"],
        })  # fmt: skip
    return render("path.html.j2", paths=shown)


def _names(analyses: Sequence[Record], records: Sequence[Record]) -> dict[str, str]:
    """Return the name of each analysis's network by the analysis's label, with the digest where two are alike."""
    plain = {r.label: network_name(str((r.result or {}).get("model")), r, records) for r in analyses}
    count = Counter(plain.values())
    return {r.label: plain[r.label] if count[plain[r.label]] == 1 else f"{plain[r.label]} {r.digest}" for r in analyses}


def _colors(records: Sequence[Record]) -> dict[str, int]:
    """Return the index of each network's color: its place among the networks of all analyses of the page."""
    models = [str(r.result["model"]) for r in records if r.stage == "analyze" and r.result and "model" in r.result]
    return {model: index for index, model in enumerate(dict.fromkeys(models))}
