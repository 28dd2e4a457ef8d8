"""The figure of searches (Figures 2 and A1): each search has a color of its own."""

from __future__ import annotations

from advrush.paper.figures import searches_figure
from advrush.report.drawing.architectures import ARCHITECTURE_COLORS


def test_gammas_and_methods_have_colors_of_their_own() -> None:
    rows = [{"epoch": epoch, "loss_val": 2.0 - epoch, "curvature": 1.0 + epoch} for epoch in range(2)]
    labels = ["AdvRush, gamma 0.001", "AdvRush, gamma 0.01", "AdvRush, gamma 0.1", "DARTS"]
    left, _ = searches_figure({label: [rows] for label in labels}).axes
    colors = {line.get_label(): line.get_color() for line in left.lines if line.get_label() in labels}
    assert len(set(colors.values())) == len(labels)
    assert colors["AdvRush, gamma 0.01"] == ARCHITECTURE_COLORS["AdvRush"][0]
    assert colors["DARTS"] == ARCHITECTURE_COLORS["DARTS (V2)"][0]
