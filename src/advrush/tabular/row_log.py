"""What has been measured of each row of a table, kept in the run's metrics.jsonl so that a kill loses one row."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from advrush.run import Run, write_atomically


class RowLog:
    """Lines of `metrics.jsonl`, each of one subject and one row: a row that is there is not measured again."""

    def __init__(self, run: Run) -> None:
        self.run = run
        rows = run.metrics()
        self.known: dict[tuple[str, int], dict[str, Any]] = {(row["subject"], row["row"]): row for row in rows}
        if (path := run.path / "metrics.jsonl").exists():  # a last line cut by a kill goes
            write_atomically(path, "".join(json.dumps(row) + "\n" for row in rows))

    def missing(self, subject: str, rows: Iterable[int]) -> list[int]:
        """Return those of `rows` that have not been measured of this subject."""
        return [row for row in rows if (subject, row) not in self.known]

    def add(self, subject: str, row: int, values: Mapping[str, Any]) -> None:
        """Append what was measured of a row."""
        line = {"subject": subject, "row": row, **values}
        self.run.log(line)
        self.known[subject, row] = line

    def values(self, subject: str, rows: Iterable[int]) -> list[dict[str, Any]]:
        """Return what was measured of each of `rows`."""
        return [self.known[subject, row] for row in rows]
