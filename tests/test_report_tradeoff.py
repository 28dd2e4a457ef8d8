"""Figure 1: points where the accuracies are, lines where the harmonic score is equal."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from advrush.report import write_report
from advrush.report.tradeoff import tradeoff
from report_runs import make_evaluation, make_search
from test_report_html import Page

MODELS = {
    "AdvRush": ((0.873, 0.866, 0.879), (0.5307, 0.521, 0.540)),
    "standard": ((0.9758, 0.97, 0.98), (0.22, 0.20, 0.24)),
}


def test_points_and_lines_lie_where_they_should() -> None:
    (axis,) = tradeoff(MODELS, attack="PGD-20").axes
    lines = [line for line in axis.lines if line.get_linestyle() == "--"]
    scores = []
    for line in lines:
        c, r = np.asarray(line.get_xdata(), dtype=float), np.asarray(line.get_ydata(), dtype=float)
        score = 2 * c * r / (c + r)
        assert np.ptp(score) < 1e-6
        scores.append(round(float(score[0])))
    assert scores == list(range(10, 100, 10))
    points = [bars.lines[0].get_xydata()[0] for bars in axis.containers]
    assert np.asarray(points) == pytest.approx(np.array([[87.3, 53.07], [97.58, 22.0]]))
    low, high = axis.get_xlim()
    assert low < 86.6 and 98 < high <= 100
    assert axis.get_ylabel() == "accuracy under PGD-20, %"


def test_a_report_of_two_evaluations_has_the_figure_and_one_alone_has_not(tmp_path: Path) -> None:
    runs = [
        make_evaluation(tmp_path, model=f"net{k}", digest=f"{k}" * 8, correct={"clean": 400 + k, "pgd20": 200 + k})
        for k in range(2)
    ]
    both = Page(write_report(tmp_path / "both.html", title="Two", runs=runs)).text
    assert "Dashed: equal harmonic robustness score" in both
    assert "Dashed: equal" not in Page(write_report(tmp_path / "one.html", title="One", runs=runs[:1])).text


def test_two_searches_are_drawn_side_by_side_with_their_differences(tmp_path: Path) -> None:
    # One epoch: no scenes of earlier epochs, which mark differences too.
    runs = [make_search(tmp_path, seed=seed, epochs=1, warmup=0) for seed in range(3)]
    two = Page(write_report(tmp_path / "two.html", title="Two", runs=runs[:2]))
    assert "dashed frames: edges that the other cell lacks" in two.text and "differs" in two.classes
    assert "differs" not in Page(write_report(tmp_path / "three.html", title="Three", runs=runs)).classes
