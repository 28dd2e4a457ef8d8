"""The bodies of the report's sections for benchmark runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from advrush.report.benchmark.plots import distribution_figure
from advrush.report.benchmark.tables import scores_table, searches_table
from advrush.report.drawing.plot import signed, to_svg
from advrush.report.records import Record
from advrush.report.section import Render
from advrush.report.table import Table


def benchmark_bodies(records: Sequence[Record], render: Render) -> Iterator[tuple[str, str, Markup]]:
    """Yield id, title and body of the sections that finished benchmarks give rise to."""
    found = [record for record in records if record.stage == "benchmark" and record.result]
    if searches := [record for record in found if (record.result or {}).get("what") == "searches"]:
        yield "benchmark", "Searches judged by a table", searches_body(searches, render)


def searches_body(benchmarks: Sequence[Record], render: Render) -> Markup:
    """Return the distribution of each table with the finds marked, and what each method finds."""
    shown = []
    for record in benchmarks:
        result: Mapping[str, Any] = record.result or {}
        title = f"{result['measure']} of all rows of {result['table']}, and of what each method found"
        svg = to_svg(signed(distribution_figure(result), record.digest), title=f"{title} {record.digest}")
        shown.append({"svg": svg, "caption": title, "tables": tables_of(result)})
    return render("benchmark.html.j2", benchmarks=shown)


def tables_of(result: Mapping[str, Any]) -> list[Table]:
    """Return the tables of a benchmark's result."""
    return [searches_table(result), *([scores_table(result)] if result.get("scores") else [])]
