"""The cells of a search by epoch in the report: one scene for each change, the last one shown without script."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from advrush.cli import main
from advrush.report import write_report
from report_runs import make_changing_search, make_search, make_training


def scenes(page: Path) -> list[str]:
    """Return the HTML of each scene."""
    return page.read_text(encoding="utf-8").split('<div class="scene"')[1:]


def test_a_scene_lasts_as_long_as_the_cells_stay_the_same(tmp_path: Path) -> None:
    found = scenes(write_report(tmp_path / "report.html", title="Search", runs=[make_changing_search(tmp_path)]))
    assert [re.search(r'data-first="(\d+)"( hidden)?', each).groups() for each in found] == [
        ("1", " hidden"),
        ("5", None),
    ]
    assert "Epochs 1 to 4." in found[0]
    assert "Epochs 5 to 10. Dashed" in found[1]
    assert found[0].count('class="differs"') == 0 < found[1].count('class="differs"') <= 16
    assert "normal cell after epoch 5" in found[1]
    assert found[0].count("<figure") == 2


def test_a_search_without_a_change_has_no_film(tmp_path: Path) -> None:
    run = make_search(tmp_path, epochs=1, warmup=0)
    assert scenes(write_report(tmp_path / "report.html", title="Search", runs=[run])) == []


def test_show_writes_the_film_into_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = str(make_changing_search(tmp_path))
    assert main(["show", run, "--film", "--out", str(tmp_path / "film.svg")]) == 0
    drawing = (tmp_path / "film.svg").read_text()
    titles = re.findall(r">(changing, epochs [^<]+)</text>", drawing)
    parts = ("normal cell", "reduction cell")
    assert titles == [f"changing, epochs {which}: {cell}" for which in ("1 to 4", "5 to 10") for cell in parts]
    assert 0 < drawing.count('class="differs"') <= 16 and drawing.count("5eed0000") == 4
    assert main(["show", run, "--film", "--out", str(tmp_path / "film.pdf")]) == 0
    assert (tmp_path / "film.pdf").read_bytes().startswith(b"%PDF")
    training = str(make_training(tmp_path))
    capsys.readouterr()
    for words, told in (
        ([run], "show --film: expected one search run"),
        ([run, "--out", "film.dot"], "ending in .svg or .pdf"),
        ([training, "--out", "film.svg"], "the directory of a search that has begun"),
    ):
        assert main(["show", *words, "--film"]) == 2
        assert told in capsys.readouterr().err
