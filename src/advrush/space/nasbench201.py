"""The NAS-Bench-201 space (Dong and Yang, ICLR 2020): one kind of cell, six edges, each with one of five primitives."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from advrush.config import check, did_you_mean
from advrush.errors import GenotypeError
from advrush.reading.gate import shown
from advrush.space.cells_html import cells_html
from advrush.space.edge_weights import checked_weights
from advrush.space.genotype import CellGraph, GraphEdge
from advrush.space.isomorphism import canonical
from advrush.space.space import BlockPlan, CellPlan, Plan, Space, Topology

NAME = "nasbench201"
KIND = "cell"
PRIMITIVES = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
"""In the order of the published code."""
TOPOLOGY = Topology(
    inputs=1,
    nodes=3,
    edges=tuple((source, target) for target in (1, 2, 3) for source in range(target)),
    outputs=(3,),
)


@dataclass(frozen=True)
class Cell201:
    """The primitives of the six edges 0-1, 0-2, 1-2, 0-3, 1-3, 2-3.

    Raises GenotypeError, naming the edge, for a wrong number of edges or an unknown primitive.
    """

    primitives: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.primitives) != len(TOPOLOGY.edges):
            raise GenotypeError(f"cell: got {len(self.primitives)} edges; expected {len(TOPOLOGY.edges)}")
        for (source, target), name in zip(TOPOLOGY.edges, self.primitives, strict=True):
            if name not in PRIMITIVES:
                hint = did_you_mean(str(name), PRIMITIVES)
                raise GenotypeError(f"cell edge {source} to {target}: unknown primitive {shown(name)}{hint}")

    @property
    def space(self) -> str:
        """Return "nasbench201"."""
        return NAME

    def _repr_html_(self) -> str:
        """Return the cell as notebooks show it."""
        return cells_html(self.cells())

    def cells(self) -> dict[str, CellGraph]:
        """Return the graph of the one kind of cell."""
        edges = zip(TOPOLOGY.edges, self.primitives, strict=True)
        graph = tuple(GraphEdge(source, target, name) for (source, target), name in edges)
        return {KIND: CellGraph(TOPOLOGY.inputs, TOPOLOGY.nodes, graph, TOPOLOGY.outputs)}

    def to_text(self) -> str:
        """Return the published text, `|op~0|+|op~0|op~1|+|op~0|op~1|op~2|`."""
        names = iter(self.primitives)
        nodes = ("".join(f"{next(names)}~{source}|" for source in range(target)) for target in (1, 2, 3))
        return "+".join(f"|{node}" for node in nodes)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values: the space's name and the published text."""
        return {"space": NAME, "cell": self.to_text()}

    def to_json(self) -> str:
        """Return one line of JSON that `parse` reads back."""
        return json.dumps(self.to_dict())


def parse(text: str) -> Cell201:
    """Read a cell from `|op~0|+|op~0|op~1|+|op~0|op~1|op~2|` or from the JSON of `to_json`.

    Raises GenotypeError with the place of the mistake.
    """
    text = text.strip()
    if text.startswith("{"):
        text = _cell_of(text)
    nodes = text.split("+")
    if len(nodes) != TOPOLOGY.nodes or not all(node.startswith("|") and node.endswith("|") for node in nodes):
        raise GenotypeError("cell: expected three nodes, |op~0|+|op~0|op~1|+|op~0|op~1|op~2|")
    names = []
    for target, node in enumerate(nodes, 1):
        edges = node.strip("|").split("|")
        for source, edge in enumerate(edges):
            match = re.fullmatch(r"(\w+)~(\d)", edge)
            if match is None or int(match[2]) != source or len(edges) != target:
                raise GenotypeError(
                    f"cell node {target}: got {shown(node)}; expected one edge from each of 0 to {target - 1}"
                )
            names.append(match[1])
    return Cell201(tuple(names))


def _cell_of(text: str) -> str:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        raise GenotypeError("genotype: not JSON") from None
    if not isinstance(data, dict) or data.get("space") != NAME or not isinstance(data.get("cell"), str):
        raise GenotypeError(f'genotype: expected {{"space": "{NAME}", "cell": "|op~0|+|...|"}}')
    return str(data["cell"])


def skeleton(layers: int) -> tuple[Plan, ...]:
    """Plan three stages of cells with a residual block of stride 2 between each two.

    The published networks have 5 cells a stage, `layers` 15; cells that three does not divide go to the later stages.
    """
    check(layers >= 1, "layers", layers, "at least 1")
    plans: list[Plan] = []
    for index in range(layers):
        stage = sum(index >= layers * part // 3 for part in (1, 2))
        while sum(isinstance(plan, BlockPlan) for plan in plans) < stage:
            plans.append(BlockPlan("residual", 2 ** (1 + sum(isinstance(plan, BlockPlan) for plan in plans))))
        plans.append(CellPlan(KIND, 2**stage, False, False))
    return tuple(plans)


def discretize(weights: Mapping[str, Any]) -> Cell201:
    """Keep every edge's strongest primitive, `none` included; of equal ones the earlier wins."""
    array = checked_weights(weights, KIND, edges=len(TOPOLOGY.edges), primitives=PRIMITIVES)
    return Cell201(tuple(PRIMITIVES[column] for column in array.argmax(axis=1)))


def all_cells() -> list[Cell201]:
    """Return the 15,625 cells of the space, in the order of the primitives, the last edge running fastest."""
    return [Cell201(chosen) for chosen in itertools.product(PRIMITIVES, repeat=len(TOPOLOGY.edges))]


NASBENCH201 = Space(
    NAME,
    PRIMITIVES,
    TOPOLOGY,
    (KIND,),
    skeleton,
    discretize,
    parse,
    stem_multiplier=1,
    preprocess=False,
    pool_norm=False,
    head_norm=True,
    fewest_layers=3,
    default_channels=16,
    default_layers=15,
    canonical=canonical,
    distinct=6466,
)
"""The search space of NAS-Bench-201: 15,625 cells in a network of 3 stages of 5 cells, 16 channels in the first."""
