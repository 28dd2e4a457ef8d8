"""Genotypes on a terminal, without what takes seconds to import: PyTorch and a plotting library."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from advrush.config import did_you_mean
from advrush.errors import GenotypeError
from advrush.report.drawing.cells import output_label
from advrush.report.drawing.palette import primitive_style
from advrush.report.labels import kind_label, primitive_label, state_label
from advrush.space import PUBLISHED, SPACES, Architecture, CellGraph, resolve
from advrush.space.files import read_text

HEAD: dict[str, Any] = {"box": None, "pad_edge": False, "header_style": "bold"}


def is_published(text: str) -> bool:
    """Return whether a text is the name of a published genotype, in any capitals."""
    return text.lower() in map(str.lower, PUBLISHED)


def read_genotype(target: str, path: Path | None) -> Architecture:
    """Return the genotype that a published name, a file or a text tells; every search space is tried."""
    by_name = {name.lower(): genotype for name, genotype in PUBLISHED.items()}
    if target.lower() in by_name:
        return by_name[target.lower()]
    if path is not None and not path.is_file():
        known = f"{did_you_mean(target, PUBLISHED)}; known: {', '.join(PUBLISHED)}"
        raise GenotypeError(f"{target}: no run, no file and no published genotype{known}")
    if path is not None and path.suffix == ".safetensors":
        from advrush.models.weights.saved import read_blueprint  # imports PyTorch

        arch = read_blueprint(path).arch
        if not is_published(arch) and resolve(arch) is None:
            raise GenotypeError(f"{target}: a network without cells ({arch})")
        return read_genotype(arch, None)
    text = read_text(path) if path else target
    errors = []
    for space in SPACES.values():
        try:
            return space.parse(text)
        except GenotypeError as error:
            errors.append(error)
    raise errors[0]


def cells_text(genotype: Architecture) -> RenderableType:
    """Return the cells of a genotype as tables."""
    return Group(*(Group(cell_text(kind, graph), Text()) for kind, graph in genotype.cells().items()))


def cell_text(kind: str, graph: CellGraph, marked: Collection[int] = ()) -> RenderableType:
    """Return one cell: a row a node, its terms behind it, then the output and the counts."""
    table = Table(show_header=False, **HEAD)
    for state_ in range(graph.inputs, graph.inputs + graph.nodes):
        terms = [(row, edge) for row, edge in enumerate(graph.edges) if edge.target == state_]
        cells = []
        for index, (row, edge) in enumerate(terms):
            name = primitive_label(edge.primitive)
            sign = ("" if index == 0 else "+ ") + ("≠ " if row in marked else "")
            of = f" of {state_label(edge.source, graph.inputs)}"
            cells.append(Text.assemble(sign, (name, primitive_style(edge.primitive)), (of, "dim")))
        table.add_row(f"node {state_label(state_, graph.inputs)} =", *cells)
    counts = Counter(edge.primitive for edge in graph.edges)
    parts = "  ".join(f"{primitive_label(name)} ({count})" for name, count in counts.most_common())
    lines = [Text(f"output = {output_label(graph)}"), Text(parts, style="dim")]
    return Group(Text(kind_label(kind), style="bold"), Padding(Group(table, *lines), (0, 0, 0, 2)))
