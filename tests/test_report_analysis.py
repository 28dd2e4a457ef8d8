"""The report's sections of analyses: complete, true to the files, one range for all surfaces, files to save."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest

from advrush import analyze_architecture, analyze_curvature, analyze_landscape, analyze_path, write_report
from advrush.analysis import CurvatureConfig, LandscapeConfig, PathConfig
from advrush.data import DataConfig
from advrush.report.downloads import csv_file, file_name, svg_file
from advrush.report.sections.landscape import Range, surface_figure
from advrush.run import Run
from test_report_html import Page


@pytest.fixture(scope="module")
def analyses(trained: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Run]]:
    adversarial, standard = trained
    runs = adversarial.parent.parent
    data = DataConfig("digits", train_examples=128)
    plane = LandscapeConfig(data=data, images=8, points=5, extent=0.1)
    weights = LandscapeConfig(data=data, images=8, points=3, around="weights")
    path = PathConfig(data=data, points=3, epochs=0, images=8, statistics_images=64, attack_steps=2, restarts=1)
    options = {"runs_dir": runs, "display": False}
    return {
        "architecture": [analyze_architecture([adversarial, standard, "pdarts"], runs_dir=runs, display=False)],
        "curvature": [analyze_curvature(t, CurvatureConfig(data=data, images=8), **options) for t in trained],  # type: ignore[arg-type]
        "landscape": [analyze_landscape(t, plane, **options) for t in trained]  # type: ignore[arg-type]
        + [analyze_landscape(adversarial, weights, **options)],  # type: ignore[arg-type]
        "path": [analyze_path(standard, adversarial, path, **options)],  # type: ignore[arg-type]
    }


@pytest.fixture(scope="module")
def page(analyses: dict[str, list[Run]], tmp_path_factory: pytest.TempPathFactory) -> Page:
    runs = [run.path for found in analyses.values() for run in found]
    return Page(write_report(tmp_path_factory.mktemp("page") / "report.html", title="Analysis", runs=runs))


def saved(page: Page) -> dict[str, str]:
    """Return the content of every file that the page offers, by name."""
    found = re.findall(r'<a download="([^"]+)" href="data:[^,]+,([^"]*)"', page.source)
    return {name: unquote(content) for name, content in found}


def test_every_analysis_has_its_section_and_the_page_asks_nothing_of_a_network(page: Page) -> None:
    wanted = ["architecture", "curvature", "landscape", "path", "runs"]
    assert [name for name in page.ids if name in wanted] == wanted
    assert len(set(page.ids)) == len(page.ids)
    assert all(address.startswith(("data:", "#")) for address in page.addresses)
    assert not re.search(r"@import|<script[^>]|url\((?!#)|srcset", page.source)
    assert page.source.count("<script>") == 1
    assert "pgd (AdvRush)" in page.text and "standard (AdvRush)" in page.text


def test_every_figure_can_be_saved_as_drawing_and_numbers(page: Page, analyses: dict[str, list[Run]]) -> None:
    files = saved(page)
    drawings = [content for name, content in files.items() if name.endswith(".svg")]
    assert len(drawings) == 1 + 3 + 1
    assert all(each.startswith("<svg") and "xmlns=" in each and "var(" not in each for each in drawings)
    rows = list(csv.DictReader(io.StringIO(files["curvature.csv"])))
    assert len(rows) == 16
    arrays = analyses["curvature"][1].load_tensors("curvature.safetensors")
    assert [float(row["lambda_max"]) for row in rows[8:]] == pytest.approx(arrays["lambda_max"].tolist())
    surface = list(csv.reader(io.StringIO(files["landscape-input-pgd-advrush.csv"])))[1:]
    mean = analyses["landscape"][0].load_tensors("landscape.safetensors")["mean"]
    assert [float(row[2]) for row in surface] == pytest.approx(mean.flatten().tolist())
    path = list(csv.DictReader(io.StringIO(files[f"path-{analyses['path'][0].path.name[-8:]}.csv"])))
    points = analyses["path"][0].result()["points"]
    assert [float(row["lambda_max mean"]) for row in path] == pytest.approx([p["lambda_max"]["mean"] for p in points])


def test_tables_and_sentences_hold_the_numbers_of_the_results(page: Page, analyses: dict[str, list[Run]]) -> None:
    anatomy, curvature = page.tables[0], page.tables[1]
    assert [row[0].split()[0] for row in anatomy[1:]] == ["AdvRush", "PDARTS"]
    column = anatomy[0].index("separable")
    assert anatomy[2][column].split() == ["6", "paper", "9"]
    results = [run.result() for run in analyses["curvature"]]
    for row, result in zip(curvature[1:], results, strict=True):
        assert row[1].startswith(f"{result['lambda_max']['mean']:.3g} [")
    slope = analyses["landscape"][0].result()["steepest_slope"]
    assert f"changes the mean loss by {slope['value'] / 100:.3g} [{slope['low'] / 100:.3g}" in page.text
    pearson = analyses["path"][0].result()["correlation"]["pearson"]["value"]
    assert f"r = {pearson:.2f} [" in page.text


def test_all_surfaces_share_ranges_and_axes() -> None:
    shared = Range(0.2, 0.5, 4.0)
    for scale in (0.1, 0.2):
        axis = np.linspace(-scale, scale, 5)
        figure = surface_figure(1 + np.add.outer(axis, axis), axis, shared, around="input", direction="normal")
        space, plane, bar = figure.axes
        assert space.get_zlim() == (0.5, 4.0)  # type: ignore[attr-defined]
        assert space.get_xlim() == plane.get_xlim() == plane.get_ylim() == (-0.2, 0.2)
        assert bar.get_ylim() == (0.5, 4.0)


def test_the_same_runs_give_the_same_page(analyses: dict[str, list[Run]], tmp_path: Path) -> None:
    runs = [run.path for run in (*analyses["landscape"], *analyses["path"])]
    pages = [write_report(tmp_path / name, title="Same", runs=runs).read_bytes() for name in ("a.html", "b.html")]
    assert pages[0] == pages[1]


def test_files_in_links() -> None:
    file = csv_file("Loss of A & B", ("a, b", "c"), [(0.1, 'x"y'), (1e-30, 2)])
    assert file.name == "loss-of-a-b.csv" and file.kind == "CSV"
    assert unquote(file.uri.split(",", 1)[1]) == '"a, b",c\n0.1,"x""y"\n1e-30,2\n'
    assert '"' not in file.uri and "<" not in file.uri
    drawing = svg_file("x", '<svg viewBox="0 0 1 1"><path fill="var(--ink, #1f2329)" stroke="currentColor"/></svg>')
    assert unquote(drawing.uri.split(",", 1)[1]) == (
        '<svg style="background: #fff" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1">'
        '<path fill="#1f2329" stroke="#1f2329"/></svg>'
    )
    assert file_name("λ") == "figure"
