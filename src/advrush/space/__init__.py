"""Search spaces as values, the genotypes they yield, and the primitives both are made of."""

from advrush.config import did_you_mean
from advrush.errors import ConfigError, GenotypeError
from advrush.reading.gate import shown
from advrush.space.darts import DARTS
from advrush.space.every_edge import EdgeGenotype, every_edge_space
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
from advrush.space.nasbench201 import NASBENCH201
from advrush.space.space import BlockPlan, CellPlan, Plan, Space, Topology

SPACES: dict[str, Space] = {DARTS.name: DARTS, NASBENCH201.name: NASBENCH201}
"""Every search space by name. A space of one's own is added here: `SPACES[space.name] = space`."""


def space_named(name: str) -> Space:
    """Return the space of that name. Raises ConfigError, with a suggestion, for one that is not in SPACES."""
    if name not in SPACES:
        raise ConfigError(f"space: got {shown(name)}; expected one of {', '.join(SPACES)}{did_you_mean(name, SPACES)}")
    return SPACES[name]


def resolve(text: str) -> Architecture | None:
    """Return the architecture that a genotype's text tells, whichever space it is of; None for a plain name.

    Raises GenotypeError where no space reads the text: the error of the space that it seems to be of.
    """
    if not any(mark in text for mark in ("Genotype(", "{", "=", "|")):
        return None
    errors: dict[str, GenotypeError] = {}
    for name, space in SPACES.items():
        try:
            return space.parse(text)
        except GenotypeError as error:
            errors[name] = error
    meant = next((name for name in errors if f'"{name}"' in text), NASBENCH201.name if "|" in text else DARTS.name)
    raise errors[meant]


__all__ = [
    "DARTS",
    "NASBENCH201",
    "PRIMITIVES",
    "PUBLISHED",
    "SPACES",
    "Architecture",
    "BlockPlan",
    "CellGraph",
    "CellPlan",
    "Edge",
    "EdgeGenotype",
    "Genotype",
    "GraphEdge",
    "Plan",
    "Space",
    "Topology",
    "every_edge_space",
    "parse",
    "resolve",
    "space_named",
]
