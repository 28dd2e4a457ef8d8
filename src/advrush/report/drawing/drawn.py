"""A drawing with the numbers that it shows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from markupsafe import Markup


class Drawing(Markup):
    """An SVG with its name and the numbers that it shows: names of columns, and rows."""

    name: str = ""
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[object, ...], ...] = ()

    @classmethod
    def of(cls, svg: str, name: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Drawing:
        """Return the SVG with its name and its numbers beside it."""
        drawing = cls(svg)
        drawing.name, drawing.columns, drawing.rows = name, tuple(columns), tuple(tuple(row) for row in rows)
        return drawing
