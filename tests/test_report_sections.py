"""A section is one file: what it yields, its sentence and its numbers reach the page, the summary and the terminal."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from markupsafe import Markup

from advrush.report import Record, find_records, run_text, write_report
from advrush.report.downloads import csv_file
from advrush.report.drawing.plot import new_figure, to_svg
from advrush.report.section import Chapter, Note, Picture, Render, Section, Sentence, body
from advrush.report.sections import compose
from advrush.report.table import Entry, Table
from report_runs import make_evaluation, make_search, make_training
from test_report_html import Page
from test_report_tables import printed


def sections(records: Sequence[Record], render: Render) -> Iterator[Section]:
    if runs := [record for record in records if record.stage == "prune"]:
        figure, (axis,) = new_figure()
        axis.plot([0, 1], [0.5, 0.25], label="kept <weights>")
        table = Table("Pruned & kept", ("network", "kept"), ((Entry("a", best=True), Entry("50", "of 100")),))
        picture = Picture(to_svg(figure, title="Pruned"), "What is left of L_val.")
        file = csv_file("kept", ("network", "kept"), [("a", 0.5)])
        yield Section("prune", "Pruning", body(render, picture, table, file, f"{len(runs)} run < all", Note("small")))


PRUNING = Chapter(
    sections,
    lambda records: [Sentence(r.name, "was pruned to half.") for r in records if r.stage == "prune"],
    kind="prune",
    numbers=lambda record: {"kept": f"{(record.result or {})['kept']:.0%}"},
)


def make_pruning(runs: Path) -> Path:
    path = runs / "prune" / "half-0a0b0c0d"
    path.mkdir(parents=True)
    (path / "config.toml").write_text('name = "half"\n')
    (path / "environment.json").write_text("{}")
    (path / "result.json").write_text(json.dumps({"kept": 0.5}))
    return path


def test_a_new_kind_of_run_is_one_chapter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_pruning(tmp_path)
    before = Page(write_report(tmp_path / "before.html", title="Unknown", runs=[run]))
    assert "prune" not in before.ids and "was pruned" not in before.text
    assert "kept" not in printed(lambda console: console.print(run_text(run)))
    monkeypatch.setattr(compose, "CHAPTERS", (*compose.CHAPTERS, PRUNING))
    page = Page(write_report(tmp_path / "after.html", title="Known", runs=[run]))
    assert page.ids.index("prune") > page.ids.index("runs")
    assert "half was pruned to half." in page.text
    assert page.tables == [[["network", "kept"], ["a", "50 of 100"]]]
    assert page.source.count("<svg") == 1 and 'download="kept.csv"' in page.source
    assert "<p>1 run &lt; all</p>" in page.source and '<p class="note">small</p>' in page.source
    assert "What is left of <i>L</i><sub>val</sub>." in page.source
    assert re.search(r"^kept +50%", printed(lambda console: console.print(run_text(run))), re.MULTILINE)


def test_markup_of_a_part_is_kept_and_text_is_escaped() -> None:
    rendered: list[object] = []

    def render(template: str, **values: object) -> Markup:
        rendered.append((template, values["kind"], values["part"]))
        return Markup("<p>&</p>")

    assert body(render, "a", Note("b")) == Markup("<p>&</p>\n<p>&</p>")
    assert rendered == [("part.html.j2", "text", "a"), ("part.html.j2", "note", Note("b"))]


def test_the_summary_tells_every_search_training_and_evaluation_once(tmp_path: Path) -> None:
    make_search(tmp_path)
    ours, other = make_training(tmp_path, name="ours"), make_training(tmp_path, name="other")
    correct = {"clean": 9, "pgd20": 3}
    make_evaluation(tmp_path, model=f"train/{ours.name}", digest="a", correct=correct, examples=10)
    for digest in "bc":
        make_evaluation(tmp_path, model=f"train/{other.name}", digest=digest, correct=correct, examples=10)
    lines = compose.sentences(find_records(tmp_path))
    assert [line.subject for line in lines] == [
        "Search found", "other (ResNet-18)", "ours (ResNet-18)", "other (ResNet-18) b", "other (ResNet-18) c",
    ]  # fmt: skip
    assert ["It classifies" in line.rest for line in lines] == [False, False, True, False, False]


@pytest.mark.parametrize("chapter", compose.CHAPTERS)
def test_no_chapter_needs_runs_of_another(chapter: Chapter, tmp_path: Path) -> None:
    def render(template: str, **values: object) -> Markup:
        return Markup()

    stranger = [Record.read(make_pruning(tmp_path))]
    shown = [section.id for section in chapter.sections(stranger, render)]
    assert shown in ([], ["runs"])
    assert list(chapter.sentences(stranger)) == []
