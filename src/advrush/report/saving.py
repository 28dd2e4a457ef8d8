"""Drawings as files: figures of a report as SVG, PDF and CSV; cells of genotypes also as dot and Mermaid."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from advrush.atomic_write import write_atomically
from advrush.config import did_you_mean
from advrush.errors import ConfigError
from advrush.report.downloads import drawing_files
from advrush.report.drawing.cell_text import to_dot, to_mermaid
from advrush.report.drawing.cells import draw_cell
from advrush.report.drawing.differences import only_in
from advrush.report.drawing.drawn import Drawing
from advrush.report.drawing.svg import stacked
from advrush.report.drawing.svg_pdf import drawn_pdf, to_pdf
from advrush.report.labels import kind_label
from advrush.space import Architecture

FORMATS = (".svg", ".pdf", ".dot", ".mmd")


def save_cells(architectures: Mapping[str, Architecture], path: Path) -> Path:
    """Write the cells of one or two named architectures to `path`, whose ending says how; return it.

    .svg and .pdf: all cells below each other; .dot: Graphviz; .mmd: Mermaid. Of two architectures, edges
    that the other lacks are marked in the drawings. Raises ConfigError for another ending.
    """
    ending = path.suffix.lower()
    if ending not in FORMATS:
        hint = did_you_mean(ending, FORMATS) if ending else ""
        raise ConfigError(f"out: got {str(path)!r}{hint}; expected a file ending in {', '.join(FORMATS)}")
    if ending in (".dot", ".mmd"):
        several = len(architectures) > 1
        cells = {
            f"{name}, {kind_label(kind).lower()}" if several else kind_label(kind): graph
            for name, each in architectures.items()
            for kind, graph in each.cells().items()
        }
        write_atomically(path, to_dot(cells) if ending == ".dot" else to_mermaid(cells))
        return path
    drawing = stacked(drawn_cells(architectures))
    write_atomically(path, str(drawing) + "\n" if ending == ".svg" else to_pdf(drawing))
    return path


def save_drawings(drawings: Sequence[Drawing], folder: Path) -> None:
    """Write each drawing as SVG and PDF and its numbers as CSV; of two with one name the second gets a number."""
    count: Counter[str] = Counter()
    for drawing in drawings:
        svg, *numbers = drawing_files(drawing)
        stem = svg.name.removesuffix(".svg")
        count[stem] += 1
        stem += f"-{count[stem]}" if count[stem] > 1 else ""
        write_atomically(folder / f"{stem}.svg", svg.content)
        write_atomically(folder / f"{stem}.pdf", drawn_pdf(drawing))
        for file in numbers:
            write_atomically(folder / f"{stem}.csv", file.content)


def drawn_cells(
    architectures: Mapping[str, Architecture], digests: Mapping[str, str] = MappingProxyType({})
) -> list[tuple[str, Drawing]]:
    """Return titles and drawings, kind by kind; of two architectures, with what the other lacks marked.

    `digests`: of the runs that found them, by name.
    """
    names = list(architectures)
    found = []
    for kind in dict.fromkeys(kind for each in architectures.values() for kind in each.cells()):
        for name in names:
            graph = architectures[name].cells().get(kind)
            if graph is None:
                continue
            others: Sequence[Architecture] = [architectures[each] for each in names if each != name]
            marked = only_in(graph, others[0].cells().get(kind)) if len(others) == 1 else frozenset()
            title = f"{name}, {kind_label(kind).lower()}"
            found.append((title, draw_cell(graph, title=title, marked=marked, digest=digests.get(name, ""))))
    return found
