"""Benchmarks on a terminal."""

from __future__ import annotations

from pathlib import Path

from rich.table import Table as RichTable
from rich.text import Text

from advrush.report.benchmark.sections import tables_of
from advrush.report.records import Record
from advrush.report.table import Table


def benchmark_tables(path: Path | str) -> list[Table]:
    """Return the tables of a finished benchmark run. Raises RunError for a folder that is no run."""
    result = Record.read(path).result
    return tables_of(result) if result else []


def on_terminal(table: Table) -> RichTable:
    """Return a report's table for a terminal, details dim behind their values."""
    shown = RichTable(box=None, pad_edge=False, header_style="bold", title=table.caption, title_justify="left")
    for index, column in enumerate(table.columns):
        widest = max(len(word) for word in column.split())
        shown.add_column(Text(column), justify="left" if index == 0 else "right", overflow="fold", min_width=widest)
    for row in table.rows:
        shown.add_row(*(Text.assemble(e.text, (f" {e.detail}" if e.detail else "", "dim")) for e in row))
    return shown
