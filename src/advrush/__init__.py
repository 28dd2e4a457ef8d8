"""Search, train, attack and analyze adversarially robust neural architectures.

    from advrush import SearchConfig, TrainConfig, EvaluateConfig, search, derive, train, evaluate, load

Names are imported when they are first used, so that `import advrush` costs nothing.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from advrush.first_use import imported_on_use

if TYPE_CHECKING:
    from advrush.analysis import analyze_architecture as analyze_architecture
    from advrush.analysis import analyze_curvature as analyze_curvature
    from advrush.analysis import analyze_landscape as analyze_landscape
    from advrush.analysis import analyze_path as analyze_path
    from advrush.analysis import anatomy as anatomy
    from advrush.analysis import input_landscape as input_landscape
    from advrush.analysis import input_spectrum as input_spectrum
    from advrush.analysis import weight_landscape as weight_landscape
    from advrush.attacks import APGD as APGD
    from advrush.attacks import FAB as FAB
    from advrush.attacks import FGSM as FGSM
    from advrush.attacks import MIFGSM as MIFGSM
    from advrush.attacks import PGD as PGD
    from advrush.attacks import AutoAttack as AutoAttack
    from advrush.attacks import CarliniWagner as CarliniWagner
    from advrush.attacks import DeepFool as DeepFool
    from advrush.attacks import Square as Square
    from advrush.attacks import parse_attacks as parse_attacks
    from advrush.data import DataConfig as DataConfig
    from advrush.data import load_dataset as load_dataset
    from advrush.data.given import images_and_labels as images_and_labels
    from advrush.errors import AdvrushError as AdvrushError
    from advrush.evaluation import AttackOutcome as AttackOutcome
    from advrush.evaluation import EvaluateConfig as EvaluateConfig
    from advrush.evaluation import Evaluation as Evaluation
    from advrush.evaluation import ResultTable as ResultTable
    from advrush.evaluation import as_target as as_target
    from advrush.evaluation import evaluate as evaluate
    from advrush.evaluation import measure as measure
    from advrush.evaluation import transfer as transfer
    from advrush.models.build import build as build
    from advrush.models.weights.import_onnx import import_onnx as import_onnx
    from advrush.models.weights.saved import load as load
    from advrush.report import draw_cell as draw_cell
    from advrush.report import find_records as find_records
    from advrush.report import write_report as write_report
    from advrush.report.hub import push_to_hub as push_to_hub
    from advrush.report.leaderboard import leaderboard as leaderboard
    from advrush.run import Run as Run
    from advrush.searching import SearchConfig as SearchConfig
    from advrush.searching import derive as derive
    from advrush.searching import search as search
    from advrush.space import Genotype as Genotype
    from advrush.training import TrainConfig as TrainConfig
    from advrush.training import train as train

_HOMES = {
    "APGD": "attacks",
    "AdvrushError": "errors",
    "AttackOutcome": "evaluation",
    "AutoAttack": "attacks",
    "CarliniWagner": "attacks",
    "DataConfig": "data",
    "DeepFool": "attacks",
    "EvaluateConfig": "evaluation",
    "Evaluation": "evaluation",
    "FAB": "attacks",
    "FGSM": "attacks",
    "Genotype": "space",
    "MIFGSM": "attacks",
    "PGD": "attacks",
    "ResultTable": "evaluation",
    "Run": "run",
    "SearchConfig": "searching",
    "Square": "attacks",
    "TrainConfig": "training",
    "analyze_architecture": "analysis",
    "analyze_curvature": "analysis",
    "analyze_landscape": "analysis",
    "analyze_path": "analysis",
    "anatomy": "analysis",
    "as_target": "evaluation",
    "build": "models.build",
    "derive": "searching",
    "draw_cell": "report",
    "evaluate": "evaluation",
    "find_records": "report",
    "images_and_labels": "data.given",
    "import_onnx": "models.weights.import_onnx",
    "input_landscape": "analysis",
    "input_spectrum": "analysis",
    "leaderboard": "report.leaderboard",
    "load": "models.weights.saved",
    "load_dataset": "data",
    "measure": "evaluation",
    "parse_attacks": "attacks",
    "push_to_hub": "report.hub",
    "search": "searching",
    "train": "training",
    "transfer": "evaluation",
    "weight_landscape": "analysis",
    "write_report": "report",
}
__all__ = list(_HOMES)


_get = imported_on_use("advrush", _HOMES)


def __getattr__(name: str) -> Any:
    return version("advrush") if name == "__version__" else _get(name)


def __dir__() -> list[str]:
    return sorted([*_HOMES, "__version__"])
