"""The list of runs: one line each, the newest first."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from advrush.report.names import model_names
from advrush.report.records import Record, find_records
from advrush.report.sections.compose import numbers
from advrush.report.sound import only_sound
from advrush.report.terminal import state

HEADS = ("digest", "stage", "name", "state", "numbers", "changed")
FILES = ("result.json", "metrics.jsonl", "last.pt", "config.toml")
"""What a run writes; the youngest tells when it last did something."""


def list_runs(runs_dir: Path | str, console: Console) -> None:
    """Print a line for each run under a folder at any depth, on a terminal cut to its width."""
    records = newest_first(runs_dir)
    if not records:
        console.print(f"no runs in {runs_dir}")
        return
    names = model_names([record for record in records if record.stage == "evaluate"], records)
    rows = [HEADS, *(_row(record, names.get(record.path, record.name)) for record in records)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    if console.is_terminal:  # the name gives way, then the numbers
        over = sum(widths) + 2 * (len(widths) - 1) - console.width
        for column, least in ((2, 8), (4, 12)):
            cut = max(0, min(over, widths[column] - least))
            widths[column], over = widths[column] - cut, over - cut
    for row in rows:
        cells = [_cut(text, width).ljust(width) for text, width in zip(row, widths, strict=True)]
        console.print("  ".join(cells).rstrip(), soft_wrap=True)


def runs_facts(runs_dir: Path | str) -> list[dict[str, Any]]:
    """Return the list of runs as plain values, the newest first."""
    return [run_facts(record) for record in newest_first(runs_dir)]


def run_facts(record: Record) -> dict[str, Any]:
    """Return a run's line as plain values; `changed` in seconds since 1970."""
    return {
        "run": str(record.path),
        "stage": record.stage,
        "name": record.name,
        "digest": record.digest,
        "state": state(record),
        "numbers": dict(numbers(record)),
        "seconds": record.seconds,
        "changed": changed(record),
    }


def newest_first(runs_dir: Path | str) -> list[Record]:
    """Return the runs under a folder by the time of their last change."""
    return sorted(only_sound(find_records(runs_dir)), key=changed, reverse=True)


def changed(record: Record) -> float:
    """Return when the run last wrote something, in seconds since 1970."""
    return max((path.stat().st_mtime for name in FILES if (path := record.path / name).exists()), default=0.0)


def age(record: Record) -> str:
    """Return how long ago the run last wrote something."""
    seconds = max(0.0, time.time() - changed(record))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit} ago"
    return f"{int(seconds)} s ago"


def brief(record: Record) -> Mapping[str, str]:
    """Return the two numbers that a list has room for: of an evaluation, clean and the worst of what was tried."""
    found = {name: value for name, value in numbers(record).items() if name != "parameters"}
    if record.stage == "evaluate" and len(found) > 1:
        return {"clean": found["clean"], "robust": list(found.values())[-1]}
    return found


def _row(record: Record, name: str) -> tuple[str, ...]:
    facts = "  ".join(f"{key} {value}" for key, value in brief(record).items())
    return record.digest, record.stage, name, state(record), facts, age(record)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"
