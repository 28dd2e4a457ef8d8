"""The demo: resumes, returns at once when finished, and its report holds the whole chain."""

import json
import shlex
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from advrush.cli import main
from advrush.config import load, to_toml
from advrush.demo import RECIPES, demo, demo_runs
from advrush.evaluation import EvaluateConfig
from advrush.run import Run
from advrush.searching import SearchConfig
from advrush.training import TrainConfig

SHORT = {
    "search/demo": (SearchConfig, {"epochs": 2, "warmup_epochs": 1, "channels": 2}),
    "train/demo-network": (TrainConfig, {"epochs": 1, "validation_examples": 12}),
    "train/demo-resnet": (TrainConfig, {"epochs": 1, "validation_examples": 12}),
    "evaluate/demo": (EvaluateConfig, {"attacks": ("fgsm", "pgd3")}),
}


def shortened(folder: Path) -> Path:
    """Write the demo's recipes for fewer epochs and images."""
    for name, (cls, changes) in SHORT.items():
        config = load(cls, RECIPES / f"{name}.toml")
        data = replace(config.data, train_examples=120, test_examples=40)
        path = folder / f"{name}.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(to_toml(replace(config, **changes, data=data)))
    return folder


def test_chain_on_fewer_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recipes = shortened(tmp_path / "recipes")
    page = demo(tmp_path / "runs", device="cpu", recipes=recipes)
    text = page.read_text()
    assert page == tmp_path / "runs" / "report.html"
    for heading in ("Search", "Training", "Robustness", "Adversarial examples"):
        assert f">{heading}</h2>" in text
    runs = sorted(path.parent for path in (tmp_path / "runs").glob("*/*/result.json"))
    assert [run.parent.name for run in runs] == ["evaluate", "evaluate", "search", "train", "train"]
    times = [(run / "result.json").stat().st_mtime_ns for run in runs]
    demo(tmp_path / "runs", device="cpu", recipes=recipes)
    assert [(run / "result.json").stat().st_mtime_ns for run in runs] == times
    assert all(Run.at(run).done for run in runs)
    monkeypatch.setattr("advrush.commands.demo.demo_runs", partial(demo_runs, recipes=recipes))
    tells_the_numbers_of_finished_runs(tmp_path / "runs", capsys)


def tells_the_numbers_of_finished_runs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["demo", "--quiet", "--runs-dir", str(folder)]) == 0
    told = capsys.readouterr().out
    assert told.count("95% interval") == 2 and "searching an architecture" not in told
    following = shlex.split(told[told.index("next ") :].removeprefix("next "))
    assert following[:2] == ["advrush", "evaluate"] and Run.at(Path(following[2])).stage == "train"
    assert main(["demo", "--json", "--runs-dir", str(folder)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["stage"] for one in found["runs"]] == ["search", "train", "train", "evaluate", "evaluate"]
    assert main(["demo", "again"]) == 2
