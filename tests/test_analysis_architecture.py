"""Table 6: anatomy against the paper's and the specification's numbers, scores from evaluations."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from advrush import analyze_architecture, anatomy
from advrush.analysis.cell_anatomy import depth, group, width
from advrush.analysis.scores import hrs
from advrush.cli import main
from advrush.errors import AdvrushError, ConfigError
from advrush.report.tables import architecture_table
from advrush.space import PUBLISHED, CellGraph, GraphEdge


@pytest.mark.parametrize(
    ("name", "widths", "depths"),
    [
        ("ADVRUSH", (4, 3), (2, 3)), ("DARTS_V2", (3.5, 2.5), (3, 3)), ("RACL", (2.5, 3), (4, 3)),
        ("PDARTS", (3, 3), (4, 4)),
    ],
)  # fmt: skip
def test_widths_and_depths_of_published_cells(name: str, widths: tuple[float, float], depths: tuple[int, int]) -> None:
    found = anatomy(PUBLISHED[name])
    assert tuple(found.width.values()) == widths
    assert tuple(found.depth.values()) == depths


@pytest.mark.parametrize(("name", "counts"), [("ADVRUSH", (0, 1, 5, 9, 1)), ("PDARTS", (1, 1, 2, 6, 6))])
def test_counts_of_published_cells(name: str, counts: tuple[int, ...]) -> None:
    assert tuple(anatomy(PUBLISHED[name]).counts.values()) == counts


def test_a_cell_with_one_input_and_one_output() -> None:
    """NAS-Bench-201's shape: the last node is the output, `none` carries nothing."""
    edges = (
        GraphEdge(0, 1, "nor_conv_3x3"), GraphEdge(0, 2, "none"), GraphEdge(1, 2, "skip_connect"),
        GraphEdge(0, 3, "nor_conv_1x1"), GraphEdge(1, 3, "none"), GraphEdge(2, 3, "avg_pool_3x3"),
    )  # fmt: skip
    graph = CellGraph(1, 3, edges, (3,))
    assert depth(graph) == 3
    assert width(graph) == 1 + 0 + 0.5
    cut = CellGraph(1, 3, tuple(edge._replace(primitive="none") for edge in edges), (3,))
    assert (depth(cut), width(cut)) == (0, 0)
    assert [group(name) for name in ("nor_conv_3x3", "sep_conv_5x5", "skip_connect", "conv_7x1_1x7")] == [
        "nor_conv", "sep_conv", "skip_connect", "conv_7x1",
    ]  # fmt: skip


def test_the_harmonic_score() -> None:
    assert hrs(0.9758, 0.5591) == pytest.approx(0.7109, abs=5e-5)  # Table A2, AdvRush
    assert hrs(0.0, 0.0) == 0
    with pytest.raises(ConfigError, match=r"robust_acc: got 55\.91"):
        hrs(0.9, 55.91)


def test_one_table_of_names_with_the_papers_numbers_beside_them(tmp_path: Path) -> None:
    run = analyze_architecture(["advrush", "PDARTS", "resnet18", "advrush"], runs_dir=tmp_path, display=False)
    rows = {row["name"]: row for row in run.result()["rows"]}
    assert list(rows) == ["AdvRush", "PDARTS", "ResNet-18"]
    assert rows["AdvRush"]["parameters"] == 4_158_046 and rows["PDARTS"]["parameters"] == 3_433_798
    assert rows["AdvRush"]["printed"]["counts"]["avg_pool"] == 2 and rows["AdvRush"]["counts"]["avg_pool"] == 1
    assert "counts" not in rows["ResNet-18"] and rows["ResNet-18"]["macs"] > 5e8
    written = (run.path / "result.json").stat().st_mtime_ns
    again = analyze_architecture(["advrush", "PDARTS", "resnet18", "advrush"], runs_dir=tmp_path, display=False)
    assert again.path == run.path and (run.path / "result.json").stat().st_mtime_ns == written
    other = analyze_architecture(["advrush"], runs_dir=tmp_path, display=False)
    assert other.path != run.path
    table = architecture_table(run.result()["rows"])
    turned = table.transposed()
    assert turned.columns == ("architecture", "AdvRush", "PDARTS", "ResNet-18")
    assert [row[0].text for row in turned.rows] == list(table.columns[1:])
    assert turned.rows[0][2] == table.rows[1][1]


def test_scores_come_from_the_evaluations_beside_a_training(trained: tuple[Path, Path], tmp_path: Path) -> None:
    adversarial, standard = trained
    run = analyze_architecture([adversarial, standard], runs_dir=tmp_path, display=False)
    (row,) = run.result()["rows"]
    results = [json.loads(path.read_text()) for path in adversarial.parent.parent.glob("evaluate/*/result.json")]
    assert set(row["hrs"]) == {"adversarial", "standard"}
    for kind, attack, training in (("adversarial", "pgd20", adversarial), ("standard", "fgsm", standard)):
        (result,) = [one for one in results if one["model"].endswith(training.name)]
        robust = {each["name"]: each["robust_acc"] for each in result["attacks"]}[attack]
        assert row["hrs"][kind]["robust_acc"] == robust
        assert row["hrs"][kind]["hrs"] == pytest.approx(hrs(result["clean_acc"], robust))


def test_unknown_names_are_refused_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(AdvrushError, match="did you mean 'advrush'"):
        analyze_architecture(["advrsh"], runs_dir=tmp_path, display=False)
    with pytest.raises(ConfigError, match="at least one"):
        analyze_architecture([], runs_dir=tmp_path, display=False)
    assert main(["analyze", "curvatur", "x"]) == 2
    assert "did you mean 'curvature'" in capsys.readouterr().err
    assert main(["analyze", "curvature"]) == 2
