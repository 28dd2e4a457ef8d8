"""Links that save a figure or its numbers, the file itself inside the page."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple
from urllib.parse import quote, unquote

from markupsafe import Markup

from advrush.evaluation.csv_cell import csv_cell
from advrush.report.drawing.drawn import Drawing


class Download(NamedTuple):
    """A file that a page carries in a link: its name and its content as a data URI."""

    name: str
    uri: str

    @property
    def kind(self) -> str:
        """Return SVG or CSV."""
        return self.name.rpartition(".")[2].upper()

    @property
    def content(self) -> str:
        """Return the text of the file."""
        return unquote(self.uri.partition(",")[2])


def svg_file(name: str, svg: str) -> Download:
    """Return a figure of a page as a file of its own: the page's variables are replaced by their colors."""
    plain = re.sub(r"var\(--[\w-]+, *(#[0-9a-fA-F]+)\)", r"\1", str(svg)).replace("currentColor", "#1f2329")
    if "xmlns=" not in plain.split(">", 1)[0]:
        plain = plain.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1)
    plain = plain.replace("<svg", '<svg style="background: #fff"', 1)  # its dark ink also where a viewer is dark
    return Download(f"{file_name(name)}.svg", "data:image/svg+xml," + quote(plain, safe=SAFE))


def csv_file(name: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Download:
    """Return numbers as a file with one line of column names; floats with nine digits, enough for float32."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(map(csv_cell, columns))
    for row in rows:
        writer.writerow([f"{value:.9g}" if isinstance(value, float) else csv_cell(value) for value in row])
    return Download(f"{file_name(name)}.csv", "data:text/csv;charset=utf-8," + quote(buffer.getvalue(), safe=SAFE))


def drawing_files(drawing: Drawing, name: str = "") -> list[Download]:
    """Return the files of a figure, the drawing and its numbers, by `name` or by the first words of its own."""
    name = name or " ".join(drawing.name.split()[:WORDS])
    return [svg_file(name, drawing), *([csv_file(name, drawing.columns, drawing.rows)] if drawing.rows else [])]


WORDS = 10
"""Of a figure's name that become its file's."""

SAFE = "/:;=,!*'$@?+ "
"""Characters that need no escape in a data URI inside a quoted attribute."""


def file_name(text: str) -> str:
    """Return a text as a file's name: letters, digits, dashes."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "figure"


def links(*files: Download) -> Markup:
    """Return the links of a figure's files."""
    parts = [
        Markup('<a download="{}" href="{}">{}</a>').format(each.name, each.uri, each.kind) for each in files
    ]  # fmt: skip
    return Markup(" ").join(parts)
