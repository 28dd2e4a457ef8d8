"""Genotypes: which primitive on which edge, for a normal and a reduction cell. No torch in here."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from advrush.config import did_you_mean
from advrush.errors import GenotypeError
from advrush.reading.gate import reason, shown
from advrush.space.cells_html import cells_html
from advrush.space.syntax import call_arguments

PRIMITIVES = (
    "none",
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)
"""The eight primitives of the DARTS space; their order is that of the columns of alpha."""

EXTRA_PRIMITIVES = ("sep_conv_7x7", "conv_7x1_1x7")
"""Primitives that NASNet and AmoebaNet use and that no search here draws."""

INPUTS = 2
"""States 0 and 1 of a cell are the outputs of the cell before last and of the last cell."""

MOST_NODES = 100
"""Nodes of a cell: published ones have up to five, and a network of absurd cells would fill the memory."""

CALL = "Genotype("
FIELDS = ("normal", "normal_concat", "reduce", "reduce_concat")


class Edge(NamedTuple):
    """One of the two edges that enter a node: what it computes, and the state that it reads."""

    primitive: str
    source: int


class GraphEdge(NamedTuple):
    """An edge of a cell's graph, from state `source` to state `target`."""

    source: int
    target: int
    primitive: str


class CellGraph(NamedTuple):
    """A cell as a graph: states 0..inputs-1 are its inputs, then its nodes; `outputs` are concatenated."""

    inputs: int
    nodes: int
    edges: tuple[GraphEdge, ...]
    outputs: tuple[int, ...]

    @property
    def skips(self) -> int:
        """Return the number of skip connections."""
        return sum(edge.primitive == "skip_connect" for edge in self.edges)

    @property
    def collapsed(self) -> bool:
        """Tell whether skip connections are more than half of the edges: the known collapse of DARTS."""
        return is_collapsed(self.skips, len(self.edges))


def is_collapsed(skips: int, edges: int) -> bool:
    """Tell whether so many skip connections among so many edges are a collapsed cell."""
    return 2 * skips > edges


class Architecture(Protocol):
    """What the genotype of every search space offers."""

    @property
    def space(self) -> str:
        """Return the name of the search space that it belongs to."""
        ...

    def cells(self) -> dict[str, CellGraph]:
        """Return one graph per cell kind."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        ...

    def to_json(self) -> str:
        """Return JSON that the space's `parse` reads back."""
        ...


@dataclass(frozen=True)
class Genotype:
    """A normal and a reduction cell in DARTS spelling: edges 2i and 2i+1 enter node i, which is state i + 2.

    Lists and pairs are accepted and stored as tuples. Raises GenotypeError, naming the cell and the edge,
    for an unknown primitive, an edge that reads a later node, an odd number of edges or a bad concat.
    """

    normal: tuple[Edge, ...]
    reduce: tuple[Edge, ...]
    normal_concat: tuple[int, ...]
    reduce_concat: tuple[int, ...]

    def __post_init__(self) -> None:
        for cell in ("normal", "reduce"):
            edges = _edges(cell, getattr(self, cell))
            object.__setattr__(self, cell, edges)
            concat = _concat(cell, getattr(self, f"{cell}_concat"), len(edges) // 2)
            object.__setattr__(self, f"{cell}_concat", concat)

    @property
    def space(self) -> str:
        """Return "darts"."""
        return "darts"

    def cells(self) -> dict[str, CellGraph]:
        """Return the graphs of the "normal" and the "reduce" cell."""
        return {
            "normal": _graph(self.normal, self.normal_concat),
            "reduce": _graph(self.reduce, self.reduce_concat),
        }

    def _repr_html_(self) -> str:
        """Return the cells as notebooks show them."""
        return cells_html(self.cells())

    def to_dict(self) -> dict[str, Any]:
        """Return lists and plain values, in the order of the DARTS named tuple."""
        return {
            "normal": [list(edge) for edge in self.normal],
            "normal_concat": list(self.normal_concat),
            "reduce": [list(edge) for edge in self.reduce],
            "reduce_concat": list(self.reduce_concat),
        }

    def to_json(self) -> str:
        """Return one line of JSON that `parse` reads back."""
        return json.dumps(self.to_dict())

    def to_darts(self) -> str:
        """Return the text of the DARTS code's named tuple, which `parse` reads back."""
        plain = self.to_dict()
        pairs = {cell: [tuple(edge) for edge in plain[cell]] for cell in ("normal", "reduce")}
        return "Genotype(" + ", ".join(f"{key}={pairs.get(key, plain[key])!r}" for key in FIELDS) + ")"


def parse(text: str) -> Genotype:
    """Read a genotype from JSON or from the DARTS text `Genotype(normal=[('sep_conv_3x3', 1), ...], ...)`.

    Text around it, such as `NAME =` or the lines of a log, is skipped. Nothing is evaluated.
    Raises GenotypeError with the place of the mistake, and for a text that tells several different genotypes.
    """
    if CALL in text and not text.lstrip().startswith("{"):
        found = {from_dict(call_arguments(call, FIELDS)): None for call in _calls(text)}
        if len(found) > 1:
            raise GenotypeError(f"genotype: the text tells {len(found)} different ones; keep the line of one")
        return next(iter(found))
    try:
        data = json.loads(_object_in(text))
    except json.JSONDecodeError as error:
        where = f"{error.msg} at line {error.lineno}, column {error.colno}"
        raise GenotypeError(f"genotype: neither JSON nor Genotype(...): {where}") from None
    except (ValueError, RecursionError) as error:
        raise GenotypeError(f"genotype: not the JSON of one ({reason(error)})") from None
    return from_dict(data)


def _object_in(text: str) -> str:
    """Return the JSON object of a text, from its first brace to its last, without commas behind the last entries."""
    begin, end = text.find("{"), text.rfind("}")
    return re.sub(r",(\s*[}\]])", r"\1", text[begin : end + 1]) if 0 <= begin < end else text


def _calls(text: str) -> list[str]:
    """Return each `Genotype(...)` of a text up to its closing parenthesis (an unclosed one up to the end)."""
    calls, place = [], 0
    while (start := text.find(CALL, place)) >= 0:
        depth, place = 0, len(text)
        for index in range(start + len(CALL) - 1, len(text)):
            depth += {"(": 1, ")": -1}.get(text[index], 0)
            if depth == 0:
                place = index + 1
                break
        calls.append(text[start:place])
    return calls


def from_dict(data: Any) -> Genotype:
    """Build a genotype from a mapping with exactly the four fields (a "source" note may be there too)."""
    if not isinstance(data, Mapping):
        raise GenotypeError(f"genotype: got {type(data).__name__}; expected an object with {', '.join(FIELDS)}")
    for key in data:
        if key not in (*FIELDS, "source"):
            raise GenotypeError(f"genotype: unknown field {shown(key)}{did_you_mean(shown(key), FIELDS)}")
    if missing := [field for field in FIELDS if field not in data]:
        raise GenotypeError(f"genotype: missing {', '.join(missing)}")
    return Genotype(**{field: data[field] for field in FIELDS})


def _items(place: str, value: Any) -> list[Any]:
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise GenotypeError(f"{place}: got {shown(value)}; expected a list")
    return list(value)


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _edges(cell: str, value: Any) -> tuple[Edge, ...]:
    """Check a cell's edges; edge k enters node k // 2, whose sources are the states before it."""
    items = _items(cell, value)
    if not items or len(items) % 2:
        raise GenotypeError(f"{cell}: got {len(items)} edges; expected two for each node")
    if len(items) > 2 * MOST_NODES:
        raise GenotypeError(f"{cell}: got {len(items)} edges; expected at most {MOST_NODES} nodes, two edges for each")
    known = PRIMITIVES + EXTRA_PRIMITIVES
    edges = []
    for index, item in enumerate(items):
        place, target = f"{cell} edge {index}", INPUTS + index // 2
        if not isinstance(item, list | tuple) or len(item) != 2:
            raise GenotypeError(f"{place}: got {shown(item)}; expected (primitive, source)")
        primitive, source = item
        if primitive not in known:
            raise GenotypeError(f"{place}: unknown primitive {shown(primitive)}{did_you_mean(shown(primitive), known)}")
        if not _is_int(source) or not 0 <= source < target:
            raise GenotypeError(f"{place}: reads {shown(source)}; node {target} may read states 0 to {target - 1} only")
        edges.append(Edge(primitive, source))
    return tuple(edges)


def _concat(cell: str, value: Any, nodes: int) -> tuple[int, ...]:
    place = f"{cell}_concat"
    states = _items(place, value)
    last = INPUTS + nodes - 1
    for state in states:
        if not _is_int(state) or not INPUTS <= state <= last:
            raise GenotypeError(f"{place}: got {shown(state)}; the cell's {nodes} nodes are {INPUTS} to {last}")
    if not states or len(set(states)) != len(states):
        raise GenotypeError(f"{place}: got {shown(states)}; expected at least one node, each once")
    return tuple(states)


def _graph(edges: tuple[Edge, ...], concat: tuple[int, ...]) -> CellGraph:
    graph = (GraphEdge(edge.source, INPUTS + k // 2, edge.primitive) for k, edge in enumerate(edges))
    return CellGraph(INPUTS, len(edges) // 2, tuple(graph), concat)


def _published() -> Mapping[str, Genotype]:
    text = resources.files("advrush.space").joinpath("genotypes.json").read_text(encoding="utf-8")
    return MappingProxyType({name: from_dict(cell) for name, cell in json.loads(text).items()})


PUBLISHED = _published()
"""The published genotypes by their customary names (ADVRUSH, DARTS_V2, ...)."""
