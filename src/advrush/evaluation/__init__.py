"""Evaluation of any network: accuracies under attacks, flags for each example."""

from advrush.evaluation.batchwise import measure
from advrush.evaluation.config import EvaluateConfig
from advrush.evaluation.matrix import TransferConfig, transfer
from advrush.evaluation.outcome import AttackOutcome, Evaluation, wilson
from advrush.evaluation.stage import evaluate
from advrush.evaluation.targets import Target, find_target

__all__ = [
    "AttackOutcome",
    "EvaluateConfig",
    "Evaluation",
    "Target",
    "TransferConfig",
    "evaluate",
    "find_target",
    "measure",
    "transfer",
    "wilson",
]
