"""The DARTS space: two kinds of cells, four nodes that read all earlier states, eight primitives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from advrush.config import check
from advrush.space.edge_weights import checked_weights
from advrush.space.genotype import INPUTS, PRIMITIVES, Edge, Genotype, parse
from advrush.space.space import CellPlan, Space, Topology

NODES = 4
KINDS = ("normal", "reduce")
TOPOLOGY = Topology(
    inputs=INPUTS,
    nodes=NODES,
    edges=tuple((source, INPUTS + node) for node in range(NODES) for source in range(INPUTS + node)),
    outputs=tuple(range(INPUTS, INPUTS + NODES)),
)


def skeleton(layers: int) -> tuple[CellPlan, ...]:
    """Plan `layers` cells: those at layers // 3 and 2 * layers // 3 halve the image, double the channels."""
    check(layers >= 1, "layers", layers, "at least 1")
    plans: list[CellPlan] = []
    multiplier, previous = 1, False
    for index in range(layers):
        reduces = index in (layers // 3, 2 * layers // 3)
        multiplier *= 2 if reduces else 1
        plans.append(CellPlan("reduce" if reduces else "normal", multiplier, reduces, previous))
        previous = reduces
    return tuple(plans)


def second_reduction(layers: int) -> int:
    """Return the index of the cell that halves the image for the second time."""
    return 2 * layers // 3


def discretize(weights: Mapping[str, Any]) -> Genotype:
    """Keep, per node, the two edges whose strongest primitive other than `none` weighs most (DARTS).

    `weights` holds an array (14 edges, 8 primitives) of softmax weights for "normal" and "reduce".
    Edges come in descending weight; of equal ones the lower source and the earlier primitive win.
    Raises GenotypeError for a missing kind, a wrong shape or a weight that is not finite.
    """
    edges = len(TOPOLOGY.edges)
    arrays = {kind: checked_weights(weights, kind, edges=edges, primitives=PRIMITIVES) for kind in KINDS}
    cells = {kind: _strongest(array) for kind, array in arrays.items()}
    return Genotype(cells["normal"], cells["reduce"], TOPOLOGY.outputs, TOPOLOGY.outputs)


def _strongest(weights: npt.NDArray[np.float64]) -> tuple[Edge, ...]:
    candidates = weights.copy()
    candidates[:, PRIMITIVES.index("none")] = -np.inf
    best, strength = candidates.argmax(axis=1), candidates.max(axis=1)
    edges: list[Edge] = []
    for target in TOPOLOGY.outputs:
        rows = sorted(TOPOLOGY.incoming(target), key=lambda row: -strength[row])[:2]
        edges += [Edge(PRIMITIVES[best[row]], TOPOLOGY.edges[row][0]) for row in rows]
    return tuple(edges)


def canonical(genotype: Genotype) -> str:
    """Return the genotype's JSON with the edges of each node in order: their sum does not depend on it."""
    cells = {
        kind: tuple(edge for k in range(0, len(edges), 2) for edge in sorted(edges[k : k + 2]))
        for kind, edges in (("normal", genotype.normal), ("reduce", genotype.reduce))
    }
    return Genotype(cells["normal"], cells["reduce"], genotype.normal_concat, genotype.reduce_concat).to_json()


DARTS = Space(
    "darts",
    PRIMITIVES,
    TOPOLOGY,
    KINDS,
    skeleton,
    discretize,
    parse,
    fewest_layers=3,
    auxiliary_after=second_reduction,
    canonical=canonical,
)
"""The search space of DARTS, which AdvRush searches (spec: C = 16 and 8 cells in the search)."""
