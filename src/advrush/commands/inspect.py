"""`advrush show`, `advrush runs` and `advrush report`: looking at what is there."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from advrush import report as reports
from advrush.commands.options import take_positionals
from advrush.errors import ConfigError
from advrush.run import Run


def show(arguments: list[str]) -> None:
    """Print a genotype by name, text or file, or a run."""
    words, rest = take_positionals(arguments)
    if len(words) != 1 or rest:
        raise ConfigError("show: expected one genotype (a name such as ADVRUSH, a file, its text) or one run directory")
    reports.show(words[0], Console())


def runs(arguments: list[str]) -> None:
    """List the runs of a directory (`runs` unless given)."""
    words, rest = take_positionals(arguments)
    if len(words) > 1 or rest:
        raise ConfigError("runs: expected at most one directory of runs")
    reports.list_runs(Path(words[0] if words else "runs"), Console())


def report(arguments: list[str]) -> None:
    """Write one page of several runs, or of a folder of runs."""
    words, rest = take_positionals(arguments)
    out = Path("report.html")
    if rest[:1] == ["--out"] and len(rest) == 2:
        out, rest = Path(rest[1]), []
    if not words or rest:
        raise ConfigError(
            "report: expected run directories or a folder of runs, and perhaps `--out FILE`: `advrush report runs`"
        )
    paths = [path for word in words for path in _runs_in(Path(word))]
    page = reports.write_report(out, title="advrush", runs=paths)
    Console(highlight=False, soft_wrap=True).print(f"report  {page}")


def _runs_in(folder: Path) -> list[Path]:
    """Return a run directory itself, or the runs in a folder of runs; RunError where there are none."""
    if not (folder / "config.toml").is_file() and (records := reports.find_records(folder)):
        return [record.path for record in records]
    return [Run.at(folder).path]
