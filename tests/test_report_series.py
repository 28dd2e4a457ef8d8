"""What a figure's CSV holds, and what rate drops are."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from urllib.parse import unquote

import pytest

from advrush.report import write_report
from advrush.report.drawing.plot import signed, to_svg
from advrush.report.drawing.series import values
from advrush.report.figures import accuracy_bars, rate_drops, search_curves, training_curves
from advrush.report.records import Record
from advrush.report.tables import training_table
from report_runs import make_evaluation, make_search, make_training

STEP = [{"epoch": k, "lr": lr, "loss_train": 2.0 - 0.1 * k, "robust_acc_val": 0.3 + 0.01 * k, "clean_acc_val": 0.5}
        for k, lr in enumerate([0.1, 0.1, 0.1, 0.01, 0.01, 0.001])]  # fmt: skip


def test_rate_drops_are_steps_and_no_cosine() -> None:
    assert rate_drops(STEP) == [3, 5]
    cosine = [{"epoch": k, "lr": 0.1 * (8 - k) ** 2 / 64} for k in range(9)]
    assert any(cosine[k]["lr"] <= 0.5 * cosine[k - 1]["lr"] for k in range(1, 9)) and rate_drops(cosine) == []
    assert rate_drops([]) == rate_drops([{"epoch": 0}]) == []


def test_rate_drops_are_drawn_and_the_table_tells_the_accuracy_after_the_first(tmp_path: Path) -> None:
    figure = training_curves({"a": STEP})
    for axis in figure.axes:
        places = [
            line.get_xdata()[0] for line in axis.lines if line.get_linestyle() == ":" or len(line.get_xdata()) == 2
        ]  # type: ignore[arg-type, index]
        assert [place for place in places if place in (3.5, 5.5)] == [3.5, 5.5]
    run = make_training(tmp_path)
    lines = [re.sub(r'"lr": [\d.]+', f'"lr": {0.1 if k < 4 else 0.01}', line)
             for k, line in enumerate((run / "metrics.jsonl").read_text().splitlines())]  # fmt: skip
    (run / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    record = Record.read(run)
    table = training_table([record], [record])
    place = table.columns.index("robust after first rate drop")
    assert table.rows[0][place].text == f"{100 * record.rows[5]['robust_acc_val']:.2f}"  # epoch 4 was not measured
    plain = make_training(tmp_path / "plain")
    other = Record.read(plain)
    assert "robust after first rate drop" not in training_table([other], [other]).columns


def test_the_numbers_are_those_of_the_lines() -> None:
    found = values(training_curves({"a": STEP}))
    robust = [(each.x, each.y) for each in found if each.series == "a" and each.panel.startswith("held-out")]
    assert [x for x, _ in robust] == [1, 2, 3, 4, 5, 6]
    assert [y for _, y in robust] == pytest.approx([30.0 + k for k in range(6)])
    assert {each.series for each in found if each.panel.startswith("held-out")} >= {"a", "a (--)"}


def test_the_numbers_are_those_of_the_bars() -> None:
    figure = accuracy_bars({"net": {"clean": (0.8, 0.7, 0.9), "pgd20": (0.5, 0.4, 0.6)}})
    assert [(v.series, v.x, v.y) for v in values(figure)] == [("net", "clean", 80.0), ("net", "PGD-20", 50.0)]


def test_a_run_is_named_in_the_corner() -> None:
    rows = [{"epoch": k, "loss_train": 1.0, "loss_val": 1.0, "curvature": 0.1} for k in range(3)]
    assert "0a1b2c3d" in to_svg(signed(search_curves(rows), "0a1b2c3d"), title="x")


def test_every_figure_of_a_report_has_its_drawing_and_its_numbers(tmp_path: Path) -> None:
    search = make_search(tmp_path)
    training = make_training(tmp_path)
    attack = make_evaluation(tmp_path, model=f"train/{training.name}", correct={"clean": 400, "pgd20": 200})
    page = write_report(tmp_path / "report.html", title="All", runs=[search, training, attack]).read_text()
    parts = [part.split("</figure>")[0] for part in page.split("<figure ")[1:]]
    figures = [part for part in parts if not part.startswith('class="example')]  # photographs
    assert sum(figure.startswith('class="plot') for figure in figures) == 4
    files = [re.findall(r'<a download="[^"]+\.(svg|csv)" href="data:[^,]+,([^"]*)"', figure) for figure in figures]
    assert {tuple(kind for kind, _ in pair) for pair in files} == {("svg", "csv")}
    assert all(len(list(csv.DictReader(io.StringIO(unquote(pair[1][1]))))) > 1 for pair in files)
    assert all(
        figure.count(search.name[-8:]) for figure in figures if 'class="heat' in figure or 'class="cell' in figure
    )
    name = re.search(r'download="(accuracies-[^"]+\.csv)" href="data:[^,]+,([^"]*)"', page)
    assert name is not None
    text = unquote(name[2])
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [(row["x"], float(row["y"])) for row in rows] == [("clean", 80.0), ("PGD-20", 40.0)]
