"""The page in headless Chromium, where it is installed: surfaces are drawn, they turn together, the slider moves."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from advrush import analyze_landscape, write_report
from advrush.analysis import LandscapeConfig
from advrush.data import DataConfig
from advrush.report.records import Record
from report_runs import make_changing_search, make_evaluation, make_search

NAMES = (os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome")
CHROMIUM = next((found for name in NAMES if name and (found := shutil.which(name))), None)
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="needs Chromium (Debian: chromium), or its path in the variable CHROMIUM"
)


def opened(page: Path, script: str = "") -> str:
    """Return the document after `script` ran in it; fails on any message of the console."""
    acted = page.with_name(f"acted-{page.name}")
    acted.write_text(page.read_text(encoding="utf-8").replace("</body>", f"<script>{script}</script></body>"))
    done = subprocess.run(
        [
            str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0",
            f"--user-data-dir={page.parent / 'profile'}", "--dump-dom", acted.as_uri(),
        ],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert "CONSOLE" not in done.stderr, done.stderr
    return done.stdout


def test_surfaces_are_drawn_and_turn_together(trained: tuple[Path, Path], tmp_path: Path) -> None:
    config = LandscapeConfig(data=DataConfig("digits"), images=4, points=5, extent=0.1)
    runs = [analyze_landscape(target, config, runs_dir=tmp_path, display=False).path for target in trained]
    page = write_report(tmp_path / "report.html", title="Surfaces", runs=runs)
    assert page.read_text().count("<canvas") == 0, "without a script, the drawing alone"
    still = opened(page)
    assert re.findall(r'<canvas[^>]*data-drawn="(\d+)"', still) == ["16", "16"]
    pictures = """
        const canvases = [...document.querySelectorAll("canvas")];
        const before = canvases.map((each) => each.toDataURL());
        canvases[0].dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowLeft", cancelable: true }));
        const after = canvases.map((each) => each.toDataURL());
        canvases[1].dispatchEvent(new KeyboardEvent("keydown", { key: "Home", cancelable: true }));
        const back = canvases.map((each) => each.toDataURL());
        document.body.dataset.turned = before.map((each, k) => each !== after[k] && each === back[k]).join();
    """
    assert 'data-turned="true,true"' in opened(page, pictures)


def test_tables_sort_by_number_and_by_name(tmp_path: Path) -> None:
    runs = [
        make_evaluation(tmp_path, model=f"net-{name}", digest=str(k) * 8, correct={"clean": clean, "pgd20": 20})
        for k, (name, clean) in enumerate([("b", 90), ("c", 5), ("a", 300)])
    ]
    page = write_report(tmp_path / "report.html", title="Tables", runs=runs)
    click = """
        const table = document.querySelector("table"), told = [];
        const last = (row) => row.cells[0].textContent.slice(-1);
        const order = () => told.push([...table.tBodies[0].rows].map(last).join(""));
        const press = (name) => [...table.querySelectorAll("button")].find((each) => each.textContent === name).click();
        order(); press("clean"); order(); press("clean"); order(); press("model"); order();
        document.body.dataset.orders = told.join();
    """
    assert 'data-orders="bca,abc,cba,abc"' in opened(page, click)


def test_the_slider_shows_the_weights_of_an_epoch(tmp_path: Path) -> None:
    run = make_search(tmp_path)
    page = write_report(tmp_path / "report.html", title="Search", runs=[run])
    shown = r'<rect[^>]*class="weight"[^>]*></rect><text[^>]*>([^<]*)<'
    last = re.findall(shown, opened(page))
    move = """
        const slider = document.querySelector("[data-frames] input");
        slider.value = "1";
        slider.dispatchEvent(new Event("input"));
    """
    moved = opened(page, move)
    first = re.findall(shown, moved)
    assert "epoch 1 of 10" in moved
    assert len(first) == 2 * 14 * 8 and len(set(first)) > 5
    frames = Record.read(run).weights_by_epoch()
    wanted = [f".{round(1000 * w):03d}" for kind in ("normal", "reduce") for w in frames[kind][0].ravel()]
    assert first == wanted and len(last) == len(first) and first != last


def test_the_film_shows_the_cells_of_an_epoch(tmp_path: Path) -> None:
    page = write_report(tmp_path / "report.html", title="Search", runs=[make_changing_search(tmp_path)])
    move = """
        const slider = document.querySelector(".film input");
        slider.value = "1";
        slider.dispatchEvent(new Event("input"));
        const seen = [...document.querySelectorAll(".scene")].filter((each) => !each.hidden);
        document.body.dataset.seen = seen.map((each) => each.dataset.first).join();
    """
    assert 'data-seen="1"' in opened(page, move)
