"""Collect what `advrush benchmark` found under several measures of one table: JSON, a Markdown table and a picture.

    python benchmarks/nasbench201_searches.py TABLE.csv RUN RUN RUN --out docs/results --sizes "..." --commit HASH

Each RUN is a finished `advrush benchmark` folder of the same searches and seeds under another measure. For each
method: mean percentile from the top, Student's 95% interval over seeds, and the exact sign-flip test of its difference
to the first method, paired by seed. The picture: gamma against the percentile, seeds as points, means as lines.
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

from advrush.paper.statistics import spread
from advrush.report.drawing.palette import series_color
from advrush.report.drawing.plot import INK, LINE, STYLE, legend_above, new_figure
from advrush.space import space_named
from advrush.tabular import Table, read_table
from hardware import hardware

SHORT = {"cifar10#clean": "clean", "cifar10#pgd": "PGD", "cifar10#aa_apgd-ce": "APGD-CE"}
KINDS = {"skip": ("skip_connect",), "pool": ("avg_pool_3x3",), "none": ("none",)}
KINDS |= {"conv": ("nor_conv_1x1", "nor_conv_3x3")}


def sign_flip(differences: Sequence[float]) -> float:
    """Return the exact two-sided p-value of a mean of paired differences: all 2^n signs, n at most 16."""
    values = np.asarray(differences, dtype=float)
    assert 0 < len(values) <= 16, "at most 65,536 sign patterns"
    signs = np.array(list(itertools.product((1, -1), repeat=len(values))))
    means = np.abs(signs @ values)
    return float(np.mean(means >= abs(values.sum()) - 1e-9))


def cell_text(genotype: Mapping[str, Any]) -> str:
    """Return a cell as the benchmark writes it."""
    return str(genotype["cell"])


def shares(cells: Sequence[str]) -> dict[str, float]:
    """Return the mean share of skips, pools, `none` and convolutions among the edges of the cells."""
    edges = [re.findall(r"([a-z_0-9]+)~", cell) for cell in cells]
    flat = [operation for cell in edges for operation in cell]
    return {kind: sum(operation in names for operation in flat) / len(flat) for kind, names in KINDS.items()}


def collected(table: Table, results: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return for each method its cells, seconds and percentiles under every measure, with means and tests."""
    methods = []
    for index, first in enumerate(results[0]["methods"]):
        row: dict[str, Any] = {"label": first["label"], "seeds": [find["seed"] for find in first["finds"]]}
        row["cells"] = [cell_text(find["genotype"]) for find in first["finds"]]
        row["seconds"] = [find["seconds"] for find in first["finds"]]
        row["shares"] = shares(row["cells"])
        for result in results:
            method, measure = result["methods"][index], result["measure"]
            assert method["label"] == first["label"], "runs of the same methods in the same order"
            cells = [cell_text(find["genotype"]) for find in method["finds"]]
            if method["finds"][0]["trainings"] < 2:  # best-of-N depends on the measure, nothing else does
                assert cells == row["cells"], f"{first['label']}: other cells under {measure}"
            space = space_named(table.space_name)
            found = [table.find(space.parse(cell)) for cell in cells]
            values = [hit.measured[measure] for hit in found if hit is not None]
            assert values == [find["value"] for find in method["finds"]], "the table that the runs looked up"
            row[measure] = {"value": values, "percentile": [find["percentile"] for find in method["finds"]]}
        methods.append(row)
    for row in methods:
        for result in results:
            summarize(row[result["measure"]], methods[0][result["measure"]], row is methods[0])
    return methods


def summarize(column: dict[str, Any], reference: Mapping[str, Any], is_reference: bool) -> None:
    """Add mean, deviation, interval and the test against the reference to a column of percentiles."""
    found = spread(column["percentile"])
    column |= {"mean": found.mean, "sd": found.sd, "interval": found.interval}
    if not is_reference and len(column["percentile"]) == len(reference["percentile"]) > 1:
        differences = [a - b for a, b in zip(column["percentile"], reference["percentile"], strict=True)]
        column |= {"minus_first": float(np.mean(differences)), "p": sign_flip(differences)}


def markdown(methods: Sequence[Mapping[str, Any]], measures: Sequence[str]) -> str:
    """Return the methods as a Markdown table: mean percentile [interval] (p against the first method)."""
    lines = [
        "| method | seeds | " + " | ".join(SHORT.get(m, m) for m in measures) + " | skip | pool | none | conv | s |"
    ]
    lines.append("|---|---:|" + "---:|" * (len(measures) + 5))
    for row in methods:
        columns = []
        for measure in measures:
            found = row[measure]
            text = f"{found['mean']:.1f}"
            if found["interval"]:
                low, high = (min(max(end, 0), 100) for end in found["interval"])
                text += f" [{low:.0f}, {high:.0f}]"
            columns.append(text + (f", p {found['p']:.3f}" if "p" in found else ""))
        kinds = [f"{100 * row['shares'][kind]:.0f}%" for kind in KINDS]
        seconds = f"{np.mean(row['seconds']):.0f}" if any(row["seconds"]) else ""
        lines.append(" | ".join([f"| {row['label']}", str(len(row["seeds"])), *columns, *kinds, seconds]) + " |")
    return "\n".join(lines)


def gamma_of(label: str) -> float | None:
    """Return the gamma of a plain method's label, 0 for darts; None for what is no point of the picture."""
    if label == "darts":
        return 0.0
    match = re.fullmatch(r"advrush:gamma=([0-9.]+)", label)
    return float(match[1]) if match else None


def picture(methods: Sequence[Mapping[str, Any]], measures: Sequence[str], path: Path) -> None:
    """Draw gamma against the percentile under each measure as SVG: seeds as points, the mean as a line."""
    points = [(gamma, row) for row in methods if (gamma := gamma_of(row["label"])) is not None]
    points.sort(key=lambda point: point[0])
    places = np.arange(len(points), dtype=float)
    figure, (axis,) = new_figure(1, width=7.2, height=4.0)
    axis.axhline(50, color=LINE, linewidth=1, linestyle="--")
    for index, measure in enumerate(measures):
        shift = 0.09 * (index - (len(measures) - 1) / 2)
        color = series_color(index)
        for place, (_, row) in zip(places, points, strict=True):
            found = row[measure]["percentile"]
            axis.plot(np.full(len(found), place + shift), found, "o", color=color, markersize=4, alpha=0.45)
        means = [row[measure]["mean"] for _, row in points]
        axis.plot(places + shift, means, color=color, label=SHORT.get(measure, measure))
    axis.set_xticks(places, [f"{gamma:g}" if gamma else "0 (DARTS)" for gamma, _ in points])
    axis.set_ylim(103, -3)
    axis.set_xlabel("gamma, the weight of L_lambda", color=INK)
    axis.set_ylabel("percentile from the top")
    legend_above(figure, [axis])
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": path.name}):
        figure.savefig(path, format="svg", facecolor="white", metadata={"Date": None, "Creator": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    parser.add_argument("--sizes", default="", help="the sizes of the searches, in words or options")
    parser.add_argument("--commit", default="", help="the commit that the searches ran with")
    args = parser.parse_args()
    table = read_table(args.table)
    results = [json.loads((run / "result.json").read_text()) for run in args.runs]
    results.sort(key=lambda result: list(SHORT).index(result["measure"]) if result["measure"] in SHORT else len(SHORT))
    measures = [result["measure"] for result in results]
    methods = collected(table, results)
    report = {
        "what": f"searches of {table.space_name} judged by {table.name}: percentiles from the top, 0 the best row",
        "sizes": args.sizes, "commit": args.commit, "hardware": hardware(), "rows": len(table.rows),
        "test": f"exact sign-flip test of the difference to {methods[0]['label']}, paired by seed, two-sided",
        "methods": methods,
    }  # fmt: skip
    (args.out / "tables").mkdir(parents=True, exist_ok=True)
    (args.out / "tables" / "nasbench201-searches.json").write_text(json.dumps(report, indent=1) + "\n")
    picture(methods, measures, args.out / "nasbench201-gamma.svg")
    print(markdown(methods, measures))


if __name__ == "__main__":
    main()
