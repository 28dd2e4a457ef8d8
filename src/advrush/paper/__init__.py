"""Reproduction of the paper's tables and figures: what they need, what is there, how far it is from the printed."""

from advrush.paper.artifacts import Artifact, Column, Paper, Row, paper
from advrush.paper.execute import JobOutcomes, Store
from advrush.paper.plan import Plan, plan_of
from advrush.paper.reproduce import Reproduction, reproduce, write
from advrush.paper.scale import Scale, read_scale, scales
from advrush.paper.statistics import McNemar, mcnemar, spread
from advrush.paper.table import Table
from advrush.published import Published, others, printed, published

__all__ = [
    "Artifact",
    "Column",
    "JobOutcomes",
    "McNemar",
    "Paper",
    "Plan",
    "Published",
    "Reproduction",
    "Row",
    "Scale",
    "Store",
    "Table",
    "mcnemar",
    "others",
    "paper",
    "plan_of",
    "printed",
    "published",
    "read_scale",
    "reproduce",
    "scales",
    "spread",
    "write",
]
