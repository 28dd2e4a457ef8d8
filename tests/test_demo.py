"""The demo: resumes, returns at once when finished, and its report holds the whole chain."""

from dataclasses import replace
from pathlib import Path

import pytest

from advrush import demo as module
from advrush.config import from_dict, to_dict
from advrush.evaluation import EvaluateConfig
from advrush.run import Run
from advrush.searching import SearchConfig
from advrush.training import TrainConfig

SHORT = {
    SearchConfig: {"epochs": 2, "warmup_epochs": 1, "channels": 2},
    TrainConfig: {"epochs": 1},
    EvaluateConfig: {"attacks": ("fgsm", "pgd3")},
}


def test_chain_on_fewer_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = module._recipe

    def short(stage: str, name: str, cls: type, **values: str) -> object:
        config = recipe(stage, name, cls, **values)
        data = replace(config.data, train_examples=192, test_examples=40)
        return replace(from_dict(cls, {**to_dict(config), **SHORT[cls]}), data=data)

    monkeypatch.setattr(module, "_recipe", short)
    page = module.demo(tmp_path, device="cpu")
    text = page.read_text()
    assert page == tmp_path / "report.html"
    for heading in ("Search", "Training", "Robustness", "Adversarial examples"):
        assert f">{heading}</h2>" in text
    runs = sorted(path.parent for path in tmp_path.glob("*/*/result.json"))
    assert [run.parent.name for run in runs] == ["evaluate", "evaluate", "search", "train", "train"]
    times = [(run / "result.json").stat().st_mtime_ns for run in runs]
    module.demo(tmp_path, device="cpu")
    assert [(run / "result.json").stat().st_mtime_ns for run in runs] == times
    assert all(Run.at(run).done for run in runs)
