"""The bilevel search: one loop, and the objectives that it takes."""

from advrush.searching.config import (
    AdversarialConfig,
    AlphaOptimizer,
    CurvatureConfig,
    Deviations,
    SearchConfig,
    WeightOptimizer,
)
from advrush.searching.loop import derive, search
from advrush.searching.objectives import AdvRush, AlphaStep, Batch, Darts, ExactCurvature, Objective, Regularized

__all__ = [
    "AdvRush",
    "AdversarialConfig",
    "AlphaOptimizer",
    "AlphaStep",
    "Batch",
    "CurvatureConfig",
    "Darts",
    "Deviations",
    "ExactCurvature",
    "Objective",
    "Regularized",
    "SearchConfig",
    "WeightOptimizer",
    "derive",
    "search",
]
