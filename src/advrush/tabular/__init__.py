"""Tables in which the robustness of architectures is written: searches and predictors judged by them."""

from advrush.tabular.config import BenchmarkConfig, InheritedScores, NetworkSize
from advrush.tabular.contenders import Contender, contenders
from advrush.tabular.inherited import InheritedNetwork
from advrush.tabular.rank_correlation import rank_correlations
from advrush.tabular.reader import read_table
from advrush.tabular.searches_stage import benchmark
from advrush.tabular.table import Row, Standing, Table, standing

__all__ = [
    "BenchmarkConfig",
    "Contender",
    "InheritedNetwork",
    "InheritedScores",
    "NetworkSize",
    "Row",
    "Standing",
    "Table",
    "benchmark",
    "contenders",
    "rank_correlations",
    "read_table",
    "standing",
]
