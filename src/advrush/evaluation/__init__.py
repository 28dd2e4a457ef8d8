"""Evaluation of any network: accuracies under attacks, flags for each example."""

from advrush.evaluation.config import EvaluateConfig
from advrush.evaluation.evaluate_any import evaluate
from advrush.evaluation.intervals import wilson
from advrush.evaluation.result_table import ResultTable
from advrush.evaluation.results import AttackOutcome, Evaluation
from advrush.evaluation.robust_accuracy import measure
from advrush.evaluation.shares import evaluate_share, join_shares
from advrush.evaluation.targeted import TargetedOutcome
from advrush.evaluation.targets import Target, as_target, find_target
from advrush.evaluation.transfer_stage import TransferConfig, transfer

__all__ = [
    "AttackOutcome",
    "EvaluateConfig",
    "Evaluation",
    "ResultTable",
    "Target",
    "TargetedOutcome",
    "TransferConfig",
    "as_target",
    "evaluate",
    "evaluate_share",
    "find_target",
    "join_shares",
    "measure",
    "transfer",
    "wilson",
]
