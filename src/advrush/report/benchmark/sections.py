"""The bodies of the report's sections for benchmark runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from advrush.report.benchmark.plots import distribution_figure, path_figure, predictors_figure
from advrush.report.benchmark.tables import predictors_sentence, predictors_table, scores_table, searches_table
from advrush.report.drawing.plot import signed, to_svg
from advrush.report.records import Record
from advrush.report.section import Render
from advrush.report.table import Table


def benchmark_bodies(records: Sequence[Record], render: Render) -> Iterator[tuple[str, str, Markup]]:
    """Yield id, title and body of the sections that finished benchmarks give rise to."""
    found = [record for record in records if record.stage == "benchmark" and record.result]
    if searches := [record for record in found if (record.result or {}).get("what") == "searches"]:
        yield "benchmark", "Searches judged by a table", searches_body(searches, render)
    if predictors := [record for record in found if (record.result or {}).get("what") == "predictors"]:
        yield "predictors", "Predictors judged by a table", predictors_body(predictors, render)


def searches_body(benchmarks: Sequence[Record], render: Render) -> Markup:
    """Return the distribution of each table with the finds marked, and what each method finds."""
    shown = []
    for record in benchmarks:
        result: Mapping[str, Any] = record.result or {}
        title = f"{result['measure']} of all rows of {result['table']}, and of what each method found"
        svg = to_svg(signed(distribution_figure(result), record.digest), title=f"{title} {record.digest}")
        way = path_figure(result)
        name = f"{result['measure']} of {result['table']}: the cell so far, by epoch"
        path = to_svg(signed(way, record.digest), title=f"{name} {record.digest}") if way else None
        shown.append({"svg": svg, "caption": title, "path": path, "path_caption": name, "tables": tables_of(result)})
    return render("benchmark.html.j2", benchmarks=shown)


def predictors_body(benchmarks: Sequence[Record], render: Render) -> Markup:
    """Return each score's rank correlations with the truth, drawn and as a table, and whether it beats counting."""
    shown = []
    for record in benchmarks:
        result: Mapping[str, Any] = record.result or {}
        title = f"Scores of networks, {result['state']}, and {result['measure']} of {result['table']}"
        svg = to_svg(signed(predictors_figure(result), record.digest), title=f"{title} {record.digest}")
        names = list(result["scores"])
        rows = [tuple(result["scores"][name][i] for name in names) for i in range(len(result["truth"]))]
        columns = (result["measure"], *names)
        svg = svg.showing(title, columns, [(t, *row) for t, row in zip(result["truth"], rows, strict=True)])
        shown.append({
            "svg": svg, "caption": title,
            "sentence": predictors_sentence(result), "tables": tables_of(result),
        })  # fmt: skip
    return render("predictors.html.j2", benchmarks=shown)


def tables_of(result: Mapping[str, Any]) -> list[Table]:
    """Return the tables of a benchmark's result."""
    if result["what"] == "predictors":
        return [predictors_table(result)]
    return [searches_table(result), *([scores_table(result)] if result.get("scores") else [])]
