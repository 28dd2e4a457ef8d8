"""`advrush show`, `advrush runs` and `advrush report`."""

from __future__ import annotations

import sys
import webbrowser
from dataclasses import dataclass
from pathlib import Path

from advrush import report as reports
from advrush.commands.addresses import run_of
from advrush.commands.options import words_and_options
from advrush.commands.output import print_json
from advrush.errors import ConfigError
from advrush.progress import plain_console


@dataclass(frozen=True)
class ShowOptions:
    """What is done with a genotype."""

    out: Path | None = None
    """Draw the cells into this file: .svg, .pdf, .dot or .mmd."""
    film: bool = False
    """Draw the cells of a search by epoch, a scene for each change, what is new dashed (--out: .svg or .pdf)."""
    json: bool = False
    """Print genotypes and results as JSON on standard output."""


def show(arguments: list[str]) -> None:
    """Print a genotype by name, text or file, or a run; compare two; or draw them into a file."""
    words, options = words_and_options(arguments, "show", ShowOptions)
    if not 1 <= len(words) <= 2:
        raise ConfigError(
            "show: expected one genotype (a name such as ADVRUSH, a file, its text) or one run directory, or two to "
            "compare, and perhaps `--out FILE` with a file ending in .svg, .pdf, .dot or .mmd"
        )
    words = [run_of(word) for word in words]
    if options.film and (options.out is None or len(words) != 1):
        raise ConfigError("show --film: expected one search run and `--out FILE`, a file ending in .svg or .pdf")
    if options.out is not None:
        cells = reports.save_film(words[0], options.out) if options.film else None
        drawn = cells or reports.save_cells(reports.architectures_of(words), options.out)
        print_json({"drawn": str(drawn)}) if options.json else plain_console().print(f"{drawn}")
    elif options.json:
        print_json({word: reports.facts(word) for word in words})
    elif len(words) == 2:
        reports.compare(words, plain_console(wrap=True))
    else:
        reports.show(words[0], plain_console(wrap=True))


@dataclass(frozen=True)
class RunsOptions:
    """How the list of runs is printed."""

    json: bool = False
    """Print JSON on standard output."""


def runs(arguments: list[str]) -> None:
    """List the runs of a directory (`runs` unless given), the newest first."""
    words, options = words_and_options(arguments, "runs", RunsOptions)
    if len(words) > 1:
        raise ConfigError(f"runs: got {' '.join(words)}; expected at most one directory of runs")
    folder = Path(words[0] if words else "runs")
    if options.json:
        print_json(reports.runs_facts(folder))
    else:
        reports.list_runs(folder, plain_console(wrap=True))


@dataclass(frozen=True)
class ReportOptions:
    """Where the page goes."""

    out: Path = Path("report.html")
    """The file that is written."""
    figures: Path | None = None
    """Also write each figure into this folder: SVG, PDF, and its numbers as CSV."""
    open: bool = False
    """Show the page in the browser."""
    json: bool = False
    """Print the file's name as JSON on standard output."""


def report(arguments: list[str]) -> None:
    """Write one page of several runs, or of a folder of runs."""
    words, options = words_and_options(arguments, "report", ReportOptions)
    if not words:
        raise ConfigError(
            "report: expected run directories or a folder of runs, and perhaps `--out FILE`: `advrush report runs`"
        )
    paths = [path for word in words for path in _runs_in(Path(run_of(word)))]
    page = reports.write_report(options.out, title="advrush", runs=paths, figures=options.figures)
    if options.json:
        print_json({"runs": [str(path) for path in paths], "report": str(page)})
    else:
        plain_console().print(f"report  {page}")
    if options.open and not webbrowser.open(page.resolve().as_uri()):
        sys.stderr.write(f"open: no browser was found; the page is {page.resolve()}\n")


def _runs_in(folder: Path) -> list[Path]:
    """Return a run directory itself, or the runs in a folder of runs; RunError where there are none."""
    if not (folder / "config.toml").is_file() and (records := reports.find_records(folder)):
        return [record.path for record in records]
    from advrush.run import Run  # imports PyTorch, which `show` of a genotype can do without

    return [Run.at(folder).path]
