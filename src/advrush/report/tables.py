"""Every table of the report by name, as values that write themselves as Markdown: for notebooks and papers."""

from advrush.report.accuracies import accuracies, by_threat, parameters_of
from advrush.report.labels import duration, format_count, format_eps, format_whole, percent
from advrush.report.sections.anatomy import architecture_table
from advrush.report.sections.comparison import agreement_table
from advrush.report.sections.curvature import curvature_table
from advrush.report.sections.robustness import accuracy_table, accuracy_tables, cost_table, waterfall_tables
from advrush.report.sections.training import training_table
from advrush.report.sections.transfer import transfer_table
from advrush.report.table import Entry, Table
from advrush.report.targeted import targeted_table

__all__ = [
    "Entry",
    "Table",
    "accuracies",
    "accuracy_table",
    "accuracy_tables",
    "agreement_table",
    "architecture_table",
    "by_threat",
    "cost_table",
    "curvature_table",
    "duration",
    "format_count",
    "format_eps",
    "format_whole",
    "parameters_of",
    "percent",
    "targeted_table",
    "training_table",
    "transfer_table",
    "waterfall_tables",
]
