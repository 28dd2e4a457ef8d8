"""Reports of runs: cells, curves and tables in one self-contained page, and the same in short on a terminal.

Names are imported when they are first used: a genotype is shown without PyTorch and without a plotting library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from advrush.first_use import imported_on_use

if TYPE_CHECKING:
    from advrush.report.benchmark.terminal import benchmark_tables as benchmark_tables
    from advrush.report.benchmark.terminal import on_terminal as on_terminal
    from advrush.report.drawing.cells import draw_cell as draw_cell
    from advrush.report.film import save_film as save_film
    from advrush.report.html import write_report as write_report
    from advrush.report.records import Record as Record
    from advrush.report.records import find_records as find_records
    from advrush.report.run_list import list_runs as list_runs
    from advrush.report.run_list import runs_facts as runs_facts
    from advrush.report.saving import save_cells as save_cells
    from advrush.report.section import Section as Section
    from advrush.report.showing import show as show
    from advrush.report.terminal import architectures_of as architectures_of
    from advrush.report.terminal import compare as compare
    from advrush.report.terminal import facts as facts
    from advrush.report.terminal import genotype_text as genotype_text
    from advrush.report.terminal import outcome as outcome
    from advrush.report.terminal import run_text as run_text

_HOMES = {
    "Record": "records",
    "Section": "section",
    "architectures_of": "terminal",
    "benchmark_tables": "benchmark.terminal",
    "compare": "terminal",
    "draw_cell": "drawing.cells",
    "facts": "terminal",
    "find_records": "records",
    "genotype_text": "terminal",
    "list_runs": "run_list",
    "on_terminal": "benchmark.terminal",
    "outcome": "terminal",
    "run_text": "terminal",
    "runs_facts": "run_list",
    "save_cells": "saving",
    "save_film": "film",
    "show": "showing",
    "write_report": "html",
}
__all__ = list(_HOMES)


__getattr__ = imported_on_use("advrush.report", _HOMES)
