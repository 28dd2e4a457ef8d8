"""Search spaces as values, the genotypes they yield, and the primitives both are made of."""

from advrush.space.darts import DARTS
from advrush.space.genotype import (
    PRIMITIVES,
    PUBLISHED,
    Architecture,
    CellGraph,
    Edge,
    Genotype,
    GraphEdge,
    parse,
)
from advrush.space.space import CellPlan, Space, Topology

SPACES = {DARTS.name: DARTS}
"""Every search space by name."""

__all__ = [
    "DARTS",
    "PRIMITIVES",
    "PUBLISHED",
    "SPACES",
    "Architecture",
    "CellGraph",
    "CellPlan",
    "Edge",
    "Genotype",
    "GraphEdge",
    "Space",
    "Topology",
    "parse",
]
