"""Reproduce tables and figures: run what is missing, write what is there."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from markupsafe import Markup

from advrush.atomic_write import write_atomically
from advrush.environment import environment
from advrush.paper.artifacts import Row
from advrush.paper.execute import JobOutcomes, Store, run_all
from advrush.paper.figures import Drawn, Picture, draw
from advrush.paper.jobs import Job, label
from advrush.paper.plan import Plan, plan_of
from advrush.paper.render import board_markdown, to_csv, to_html, to_latex, to_markdown
from advrush.paper.scale import Scale, read_scale
from advrush.paper.table import Table
from advrush.paper.tables import build_table
from advrush.report import Section, write_report
from advrush.report.downloads import drawing_files

TABLES = ("table", "transfer")


@dataclass(frozen=True)
class Reproduction:
    """What is there of the artifacts of a plan, and what failed."""

    plan: Plan
    tables: tuple[Table, ...]
    figures: tuple[Drawn, ...]
    failures: dict[str, str] = field(default_factory=dict)
    """Why a run has no result, by its name."""

    def board(self) -> list[tuple[str, int, int]]:
        """Return for each artifact how many of its numbers (of figures: runs) are there, and how many it has."""
        return [(one.artifact.key, one.there, one.wanted) for one in self.in_order()]

    def in_order(self) -> list[Table | Drawn]:
        """Return tables and figures in the order of the plan."""
        both: list[Table | Drawn] = [*self.tables, *self.figures]
        by_key = {each.artifact.key: each for each in both}
        return [by_key[artifact.key] for artifact in self.plan.artifacts]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        about = {k: v for k, v in environment().items() if k != "command"}
        return {
            "scale": self.plan.scale.name,
            "about": self.plan.scale.about,
            "seeds": list(self.plan.scale.seeds),
            "checkpoints": list(self.plan.scale.checkpoints),
            "rows": sorted(self.plan.only) or "all",
            "environment": about,
            "board": [{"artifact": name, "there": there, "wanted": wanted} for name, there, wanted in self.board()],
            "tables": [table.to_dict() for table in self.tables],
            "failures": self.failures,
        }


def reproduce(
    names: Sequence[str],
    scale: str | Scale = "smoke",
    *,
    data_dir: Path | str | None = None,
    runs_dir: Path | str = "runs",
    device: str = "auto",
    display: bool = True,
    added: Sequence[Row] = (),
    seeds: Sequence[int] = (),
    rows: Sequence[str] = (),
    compute: bool = True,
    before: Callable[[int, int, Job], None] = lambda *_: None,
    runner: Callable[[list[Job], Store], JobOutcomes] | None = None,
) -> Reproduction:
    """Run what the named tables and figures lack, and return them with what is there.

    Args:
        names: `table1` ... `tableA3`, `fig1` ... `figA6`, or `all`.
        scale: smoke, hour, small, paper, paper-105, or a TOML file of one's own.
        data_dir: where the data sets lie, each in a folder of its name or all in one.
        runs_dir: where run directories go; what is finished there is not run again.
        device: auto, cpu, cuda or cuda:N.
        display: whether the runs show their progress.
        added: further architectures for each table.
        seeds: other seeds than the scale's.
        rows: the rows to run by name (`advrush`, `ResNet-18`, `cifar100/pdarts`); none: all. The rest stays empty.
        compute: False: read what is there and run nothing.
        before: called with number, total and job before each run.
        runner: runs jobs in another way than one after the other in this process.

    Raises ConfigError for an unknown name or scale, RunError where finished runs are of other images. A run that fails
    is told in `failures`; the others go on.
    """
    plan = plan_of(names, read_scale(scale) if isinstance(scale, str) else scale, added, seeds, rows)
    store = Store(Path(runs_dir), data_dir, device, display)
    failures: dict[str, str] = {}
    if compute:
        jobs = plan.jobs()
        outcome = run_all(jobs, store, before=before) if runner is None else runner(jobs, store)
        failures = {label(job): why for job, why in outcome.failed.items()}
        store.reload()
    return collected(plan, store, failures)


def collected(plan: Plan, store: Store, failures: dict[str, str] | None = None) -> Reproduction:
    """Return the artifacts of a plan with what is there."""
    tables = tuple(build_table(plan, store, one) for one in plan.artifacts if one.kind in TABLES)
    figures = tuple(draw(plan, store, one) for one in plan.artifacts if one.kind not in TABLES)
    return Reproduction(plan, tables, figures, failures or {})


def write(found: Reproduction, folder: Path) -> Path:
    """Write each artifact as files (tables: .md, .tex, .csv; figures: .svg, .csv), all as index.html and results.json.

    Returns index.html.
    """
    for table in found.tables:
        name = table.artifact.key
        write_atomically(folder / f"{name}.md", to_markdown(table))
        write_atomically(folder / f"{name}.tex", to_latex(table))
        write_atomically(folder / f"{name}.csv", to_csv(table))
    for figure in found.figures:
        for picture in figure.pictures:
            _write_picture(folder, figure.artifact.key, picture)
    write_atomically(folder / "board.md", board_markdown(found.board()))
    write_atomically(folder / "results.json", json.dumps(found.to_dict(), indent=1) + "\n")
    scale = found.plan.scale
    title = f"Reproduction of the AdvRush paper, scale {scale.name}"
    return write_report(folder / "index.html", title=title, sections=sections(found))


def _write_picture(folder: Path, key: str, picture: Picture) -> None:
    for file in drawing_files(picture.svg, picture.name):
        write_atomically(folder / f"{key}-{picture.name}.{file.kind.lower()}", file.content)


def sections(found: Reproduction) -> list[Section]:
    """Return the sections of the page: the board first, then each artifact in the paper's order."""
    parts = [Section("board", "What is there", _board(found))]
    for one in found.in_order():
        body = to_html(one) if isinstance(one, Table) else _pictures(one)
        parts.append(Section(one.artifact.key, one.artifact.title, body))
    return parts


def _board(found: Reproduction) -> Markup:
    scale = found.plan.scale
    about = environment()
    place = about["gpu"] or f"{about['cpus']} CPU cores"
    intro = Markup("<p>Scale <b>{}</b>: {}. Seeds {}. advrush {}, PyTorch {}, {}.</p>").format(
        scale.name, scale.about, ", ".join(map(str, scale.seeds)), about["advrush"], about["torch"], place
    )
    shown = f"{', '.join(scale.checkpoints)}: the first is compared with the paper"
    checkpoints = Markup("<p>Checkpoints of adversarial trainings: {}.</p>").format(shown)
    line = Markup(
        '<tr><th scope="row"><a href="#{0}">{0}</a></th><td>{1} of {2}</td>'
        '<td><progress max="{3}" value="{1}"></progress></td></tr>'
    )
    rows = Markup("").join(line.format(name, there, wanted, max(wanted, 1)) for name, there, wanted in found.board())
    table = Markup(
        '<div class="scroll"><table><thead><tr><th scope="col">artifact</th><th scope="col">numbers there</th>'
        "<th></th></tr></thead><tbody>{}</tbody></table></div>"
    ).format(rows)
    failed = Markup("").join(Markup("<li>{}: {}</li>").format(name, why) for name, why in found.failures.items())
    if found.plan.only:
        only = ", ".join(sorted(found.plan.only))
        checkpoints += Markup("<p>Run were only the rows {}; the others hold what was there already.</p>").format(only)
    return intro + checkpoints + table + (Markup("<h3>Failed</h3><ul>{}</ul>").format(failed) if failed else Markup(""))


def _pictures(figure: Drawn) -> Markup:
    if not figure.pictures:
        return Markup("<p>Nothing of it is there yet.</p>")
    shown = []
    for picture in figure.pictures:
        files = drawing_files(picture.svg, f"{figure.artifact.key} {picture.name}")
        links = Markup("").join(
            Markup('<a download="{}" href="{}" aria-label="Save {}">{}</a>').format(f.name, f.uri, f.name, f.kind)
            for f in files
        )
        shown.append(
            Markup(
                '<figure class="plot"><div class="scroll" tabindex="0" role="region" aria-label="{}">{}</div>'
                '<figcaption>{}</figcaption><p class="save">{}</p></figure>'
            ).format(picture.caption, picture.svg, picture.caption, links)
        )
    return Markup("\n").join(shown)
