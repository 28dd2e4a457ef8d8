"""Reports of runs: cells, curves and tables in one self-contained page, and the same in short on a terminal."""

from advrush.report.benchmark.terminal import benchmark_tables, on_terminal
from advrush.report.drawing.cells import draw_cell
from advrush.report.film import save_film
from advrush.report.html import write_report
from advrush.report.records import Record, find_records
from advrush.report.run_list import list_runs, runs_facts
from advrush.report.saving import save_cells
from advrush.report.section import Section
from advrush.report.terminal import architectures_of, compare, facts, genotype_text, outcome, run_text, show

__all__ = [
    "Record",
    "Section",
    "architectures_of",
    "benchmark_tables",
    "compare",
    "draw_cell",
    "facts",
    "find_records",
    "genotype_text",
    "list_runs",
    "on_terminal",
    "outcome",
    "run_text",
    "runs_facts",
    "save_cells",
    "save_film",
    "show",
    "write_report",
]
