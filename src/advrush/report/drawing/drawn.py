"""A drawing with its name and the numbers that it shows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from markupsafe import Markup


class Drawing(Markup):
    """An SVG with its name, the numbers that it shows (names of columns, rows), and the matplotlib figure it is of."""

    name: str = ""
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[object, ...], ...] = ()
    figure: Any = None
    """None for the drawings that are not matplotlib's."""

    @classmethod
    def of(
        cls, svg: str, name: str, columns: Sequence[str], rows: Iterable[Sequence[object]], figure: Any = None
    ) -> Drawing:
        """Return the SVG with what belongs to it."""
        drawing = cls(svg)
        drawing.name, drawing.columns, drawing.rows = name, tuple(columns), tuple(tuple(row) for row in rows)
        drawing.figure = figure
        return drawing

    def _repr_html_(self) -> str:
        """Return the SVG, which notebooks show."""
        return str(self)

    def showing(self, name: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Drawing:
        """Return the same drawing under another name, with the numbers behind it in place of those of its lines."""
        return Drawing.of(self, name, columns, rows, self.figure)
