"""Tables in which the robustness of architectures is written: searches and predictors judged by them."""

from advrush.tabular.config import BenchmarkConfig, InheritedScores, NetworkSize
from advrush.tabular.contenders import Contender, contenders
from advrush.tabular.inherited import InheritedNetwork
from advrush.tabular.predictors import PREDICTORS
from advrush.tabular.predictors_config import PredictorsConfig
from advrush.tabular.predictors_stage import judge_predictors
from advrush.tabular.rank_correlation import rank_correlations
from advrush.tabular.reader import read_table
from advrush.tabular.searches_stage import benchmark
from advrush.tabular.table import Row, Standing, Table, standing

__all__ = [
    "PREDICTORS",
    "BenchmarkConfig",
    "Contender",
    "InheritedNetwork",
    "InheritedScores",
    "NetworkSize",
    "PredictorsConfig",
    "Row",
    "Standing",
    "Table",
    "benchmark",
    "contenders",
    "judge_predictors",
    "rank_correlations",
    "read_table",
    "standing",
]
