"""A table of results as a value, rendered to HTML by the templates and to Markdown here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """A table's entry: text, a smaller detail behind it, and whether it is the best of its column."""

    text: str
    detail: str = ""
    best: bool = False


@dataclass(frozen=True)
class Table:
    """Columns and rows with a caption; all columns but the first hold numbers."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Entry, ...], ...]

    def _repr_markdown_(self) -> str:
        """Return the table as notebooks show it."""
        return f"{self.caption}\n\n{self.to_markdown()}"

    def to_markdown(self) -> str:
        """Return the table in Markdown, the best of each column bold."""
        lines = [
            "| " + " | ".join(self.columns) + " |",
            "|" + "|".join(["---", *["---:"] * (len(self.columns) - 1)]) + "|",
        ]
        for row in self.rows:
            cells = (f"**{entry.text}**" if entry.best else entry.text for entry in row)
            with_detail = (f"{cell} {e.detail}".rstrip() for cell, e in zip(cells, row, strict=True))
            lines.append("| " + " | ".join(with_detail) + " |")
        return "\n".join(lines) + "\n"

    def transposed(self) -> Table:
        """Return the table with a column for each row: for narrow terminals and few rows of many numbers."""
        heads = (self.columns[0], *(row[0].text for row in self.rows))
        rows = ((Entry(name), *(row[i] for row in self.rows)) for i, name in enumerate(self.columns) if i)
        return Table(self.caption, heads, tuple(rows))
