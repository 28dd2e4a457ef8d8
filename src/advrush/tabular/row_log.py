"""Log of measured rows of a table, one line each in the run's rows.jsonl."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from advrush.atomic_write import append_line, write_atomically
from advrush.run import Run

FILE = "rows.jsonl"


class RowLog:
    """Lines of `rows.jsonl`, each of one subject and one row: a row that is there is not measured again."""

    def __init__(self, run: Run) -> None:
        self.path = run.path / FILE
        self.known: dict[tuple[str, int], dict[str, Any]] = {}
        lines = self.path.read_text(encoding="utf-8", errors="replace").splitlines() if self.path.exists() else []
        for line in lines:
            try:
                row = json.loads(line)
                self.known[str(row["subject"]), int(row["row"])] = row
            except (ValueError, TypeError, KeyError):  # cut by a kill: that row is measured again
                continue
        if len(self.known) < len(lines):
            text = "".join(json.dumps(row) + "\n" for row in self.known.values())
            write_atomically(self.path, text)

    def missing(self, subject: str, rows: Iterable[int]) -> list[int]:
        """Return those of `rows` that have not been measured of this subject."""
        return [row for row in rows if (subject, row) not in self.known]

    def add(self, subject: str, row: int, values: Mapping[str, Any]) -> None:
        """Append what was measured of a row."""
        line = {"subject": subject, "row": row, **values}
        append_line(self.path, json.dumps(line))
        self.known[subject, row] = line

    def values(self, subject: str, rows: Iterable[int]) -> list[dict[str, Any]]:
        """Return what was measured of each of `rows`."""
        return [self.known[subject, row] for row in rows]
