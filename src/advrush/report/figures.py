"""Every figure of the report by name, as matplotlib `Figure`s: for notebooks and papers."""

from advrush.report.drawing.axes import rate_drops, switch_epoch
from advrush.report.labels import attack_label
from advrush.report.sections.comparison import comparison_curves, curvature_curves
from advrush.report.sections.curvature import curvature_figure
from advrush.report.sections.landscape import Range, surface_figure
from advrush.report.sections.path import path_figure
from advrush.report.sections.robustness import accuracy_bars, sweep_curves
from advrush.report.sections.search import architecture_curves, search_curves
from advrush.report.sections.training import training_curves
from advrush.report.tradeoff import tradeoff

__all__ = [
    "Range",
    "accuracy_bars",
    "architecture_curves",
    "attack_label",
    "comparison_curves",
    "curvature_curves",
    "curvature_figure",
    "path_figure",
    "rate_drops",
    "search_curves",
    "surface_figure",
    "sweep_curves",
    "switch_epoch",
    "tradeoff",
    "training_curves",
]
