"""`advrush show`, `advrush runs` and `advrush report`: looking at what is there."""

from __future__ import annotations

from pathlib import Path

from advrush import report as reports
from advrush.commands.options import take_positionals
from advrush.errors import ConfigError
from advrush.progress import plain_console
from advrush.run import Run


def show(arguments: list[str]) -> None:
    """Print a genotype by name, text or file, or a run; compare two; or draw them into a file."""
    words, rest = take_positionals(arguments)
    out = Path(rest[1]) if rest[:1] == ["--out"] and len(rest) == 2 else None
    if not 1 <= len(words) <= 2 or (rest and out is None):
        raise ConfigError(
            "show: expected one genotype (a name such as ADVRUSH, a file, its text) or one run directory, or two to "
            "compare, and perhaps `--out FILE` with a file ending in .svg, .pdf, .dot or .mmd"
        )
    console = plain_console() if out else plain_console(wrap=True)
    if out is not None:
        console.print(f"{reports.save_cells(reports.architectures_of(words), out)}")
    elif len(words) == 2:
        reports.compare(words, console)
    else:
        reports.show(words[0], console)


def runs(arguments: list[str]) -> None:
    """List the runs of a directory (`runs` unless given)."""
    words, rest = take_positionals(arguments)
    if len(words) > 1 or rest:
        raise ConfigError("runs: expected at most one directory of runs")
    reports.list_runs(Path(words[0] if words else "runs"), plain_console(wrap=True))


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
    plain_console().print(f"report  {page}")


def _runs_in(folder: Path) -> list[Path]:
    """Return a run directory itself, or the runs in a folder of runs; RunError where there are none."""
    if not (folder / "config.toml").is_file() and (records := reports.find_records(folder)):
        return [record.path for record in records]
    return [Run.at(folder).path]
