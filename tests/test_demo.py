"""The demo: resumes, returns at once when finished, and its report holds the whole chain."""

from dataclasses import replace
from pathlib import Path

from advrush.config import load, to_toml
from advrush.demo import RECIPES, demo
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


def test_chain_on_fewer_images(tmp_path: Path) -> None:
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
