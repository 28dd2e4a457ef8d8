"""Print finished runs: lines for people, or JSON."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from advrush import config as configs
from advrush.commands.options import Launch

if TYPE_CHECKING:
    from advrush.evaluation import ResultTable
    from advrush.run import Run


def print_json(value: Any) -> None:
    """Write a value as JSON on standard output."""
    sys.stdout.write(json.dumps(value, indent=2, default=str) + "\n")


def runs_as_json(runs: Sequence[Run], page: Path | None) -> dict[str, Any]:
    """Return what `--json` tells of finished runs: places, stages, results."""
    told = [{"run": str(run.path), "stage": run.stage, "found": run.found, "result": run.result()} for run in runs]
    return {"runs": told, "report": None if page is None else str(page)}


def next_line(launch: Launch, *words: str | Path) -> str:
    """Return the line that tells what may come next: a command that can be pasted as it is."""
    place = [] if launch.runs_dir == Path("runs") else ["--runs-dir", str(launch.runs_dir)]
    device = [] if launch.device == "auto" else ["--device", launch.device]
    return "next    " + shlex.join(["advrush", *map(str, words), *place, *device])


def check_table(path: Path | None) -> None:
    """Raise ConfigError for a file of tables whose ending is none of TABLES."""
    if path is not None:
        configs.check(path.suffix in TABLES, "table", str(path), f"a name that ends in {', '.join(TABLES)}")


def write_tables(path: Path, tables: Sequence[ResultTable]) -> None:
    """Write tables into one file in the form that its ending names."""
    from advrush.atomic_write import write_atomically

    write_atomically(path, TABLES[path.suffix](tables))


def _csv(tables: Sequence[ResultTable]) -> str:
    texts = [table.csv().split("\n", 1) for table in tables]
    return "\n".join([texts[0][0], "".join(rows for _, rows in texts)])


TABLES: dict[str, Callable[[Sequence[ResultTable]], str]] = {
    ".csv": _csv,
    ".json": lambda tables: json.dumps([dict(row) for table in tables for row in table.rows], indent=2) + "\n",
    ".tex": lambda tables: "\n".join(table.latex() for table in tables),
}
"""How tables are written, by the ending of the file."""


def printed_config(config: Any, launch: Launch) -> bool:
    """Print the configuration where `--print-config` asks for it; return whether it did."""
    if launch.print_config:
        sys.stdout.write(configs.to_toml(config))
    return launch.print_config
