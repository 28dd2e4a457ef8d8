"""One self-contained page of finished or unfinished runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from advrush.atomic_write import write_atomically
from advrush.report.downloads import Download, drawing_files
from advrush.report.drawing.architectures import page_colors
from advrush.report.drawing.drawn import Drawing
from advrush.report.heading import heading
from advrush.report.labels import attack_label, kind_label, progress
from advrush.report.records import Record
from advrush.report.saving import save_drawings
from advrush.report.section import Section, Sentence
from advrush.report.sections.compose import compose, sentences
from advrush.report.sections.robustness import accuracy_tables
from advrush.report.sound import blaming
from advrush.report.table import Table


def write_report(
    path: Path | str,
    *,
    title: str,
    runs: Sequence[Path | str] = (),
    sections: Sequence[Section] = (),
    figures: Path | str | None = None,
) -> Path:
    """Write `path`, one HTML file that asks nothing of any network, and return it.

    Args:
        path: where the page goes; its folder is made if it is not there.
        title: the page's heading.
        runs: run directories of the stages search, train and evaluate; each gives what it has.
        sections: further sections, put behind those of the runs.
        figures: a folder that gets each figure of the runs as SVG, PDF and CSV (none: only the page is written).

    Raises RunError if one of `runs` is no run directory or a file of it is damaged.
    """
    drawings: list[Drawing] = []
    environment = _environment(drawings)

    def render(template: str, **values: Any) -> Markup:
        return Markup(environment.get_template(template).render(**values))

    records = [Record.read(run) for run in runs]

    def told(some: Sequence[Record]) -> tuple[list[Section], list[Sentence], list[Table]]:
        return compose(some, render) if some else [], sentences(some), accuracy_tables(some)

    composed, lines, tables = blaming(records, told)
    body = [*composed, *sections]
    style, _, _ = environment.loader.get_source(environment, "style.css")  # type: ignore[union-attr]
    script, _, _ = environment.loader.get_source(environment, "interactive.js")  # type: ignore[union-attr]
    needed = any(len(table.rows) > 2 for table in tables) or any(needs_script(str(each.body)) for each in body)
    page = render(
        "report.html.j2",
        title=title,
        about=heading(records),
        lines=lines,
        tables=tables,
        sections=body,
        style=Markup(style + page_colors()),
        script=Markup(script) if needed else "",
    )
    write_atomically(Path(path), str(page).strip() + "\n")
    if figures is not None:
        save_drawings(drawings, Path(figures))
    return Path(path)


def needs_script(body: str) -> bool:
    """Tell whether something in a section's HTML turns, slides or sorts (tables of three rows or more)."""
    sortable = any(table.count("<tr>") > 3 for table in body.split("<table")[1:])
    return sortable or "data-values=" in body or "data-frames=" in body or 'class="film"' in body


def subscripts_in_text(line: str) -> Markup:
    """Escape a sentence and lower the index of L_val and L_λ."""
    text = Markup.escape(line)
    for letter, index in (("L", "val"), ("L", "λ"), ("λ", "max"), ("‖H‖", "F")):
        text = text.replace(f"{letter}_{index}", Markup(f"<i>{letter}</i><sub>{index}</sub>"))
    return text


def _environment(drawings: list[Drawing]) -> Environment:
    """Return the templates with their filters; each figure that is rendered is added to `drawings`."""

    def files(drawing: Drawing) -> list[Download]:
        drawings.append(drawing)
        return drawing_files(drawing)

    environment = Environment(
        loader=PackageLoader("advrush.report"), autoescape=lambda name: name is None or not name.endswith(".css"),
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {
        "kind": kind_label,
        "attack": attack_label,
        "progress": progress,
        "math": subscripts_in_text,
        "files": files,
    }
    return environment
