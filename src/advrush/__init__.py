"""Search, train, attack and analyze adversarially robust neural architectures.

    from advrush import SearchConfig, TrainConfig, EvaluateConfig, search, derive, train, evaluate, load

Names are imported when they are first used, so that `import advrush` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from advrush.analysis import analyze_architecture as analyze_architecture
    from advrush.analysis import analyze_curvature as analyze_curvature
    from advrush.analysis import analyze_landscape as analyze_landscape
    from advrush.analysis import analyze_path as analyze_path
    from advrush.analysis import anatomy as anatomy
    from advrush.analysis import input_landscape as input_landscape
    from advrush.analysis import input_spectrum as input_spectrum
    from advrush.analysis import weight_landscape as weight_landscape
    from advrush.attacks import FGSM as FGSM
    from advrush.attacks import PGD as PGD
    from advrush.attacks import AutoAttack as AutoAttack
    from advrush.data import DataConfig as DataConfig
    from advrush.data import load_dataset as load_dataset
    from advrush.errors import AdvrushError as AdvrushError
    from advrush.evaluation import EvaluateConfig as EvaluateConfig
    from advrush.evaluation import evaluate as evaluate
    from advrush.evaluation import measure as measure
    from advrush.evaluation import transfer as transfer
    from advrush.models.build import build as build
    from advrush.models.weights.saved import load as load
    from advrush.report import write_report as write_report
    from advrush.searching import SearchConfig as SearchConfig
    from advrush.searching import derive as derive
    from advrush.searching import search as search
    from advrush.space import Genotype as Genotype
    from advrush.training import TrainConfig as TrainConfig
    from advrush.training import train as train

_HOMES = {
    "AdvrushError": "errors",
    "AutoAttack": "attacks",
    "DataConfig": "data",
    "EvaluateConfig": "evaluation",
    "FGSM": "attacks",
    "Genotype": "space",
    "PGD": "attacks",
    "SearchConfig": "searching",
    "TrainConfig": "training",
    "analyze_architecture": "analysis",
    "analyze_curvature": "analysis",
    "analyze_landscape": "analysis",
    "analyze_path": "analysis",
    "anatomy": "analysis",
    "build": "models.build",
    "derive": "searching",
    "evaluate": "evaluation",
    "input_landscape": "analysis",
    "input_spectrum": "analysis",
    "load": "models.weights.saved",
    "load_dataset": "data",
    "measure": "evaluation",
    "search": "searching",
    "train": "training",
    "transfer": "evaluation",
    "weight_landscape": "analysis",
    "write_report": "report",
}
__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'advrush' has no attribute {name!r}")
    value = getattr(import_module(f"advrush.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(_HOMES)
