"""Measurements are of their data and of what their networks compute, and speak of the classes of the training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from advrush.analysis import analyze_curvature, analyze_landscape
from advrush.analysis.config import CurvatureConfig, LandscapeConfig
from advrush.cli import main
from advrush.data import DataConfig, Dataset
from advrush.errors import ModelContractError, RunError
from advrush.evaluation import EvaluateConfig, Target, TransferConfig, evaluate, transfer
from advrush.evaluation.fingerprint import examine
from advrush.evaluation.targets import find_target
from advrush.identity import difference
from advrush.models.weights.saved import read_classes
from advrush.run import Run
from advrush.training import TrainConfig, train

NAMES = ("cat", "dog", "owl")
MINE = DataConfig("mine")


class Net(nn.Module):
    """A linear network; `sign` is part of its code, not of its weights."""

    def __init__(self, sign: float = 1.0, classes: int = 3) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear, self.sign = nn.Linear(3 * 8 * 8, classes), sign

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.sign * self.linear(x.flatten(1))
        return logits


def folder(path: Path, *, seed: int = 0, count: int = 12) -> Path:
    generator = np.random.default_rng(seed)
    path.mkdir()
    for part in ("train", "test"):
        images = generator.integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
        np.savez(path / f"{part}.npz", images=images, labels=np.arange(count) % 3)
    return path


def dataset(tmp_path: Path, classes: tuple[str, ...] = NAMES) -> Dataset:
    return replace(MINE.load(folder(tmp_path / "data")), classes=classes)


def run_transfer(where: Path, data: Path, sign: float = 1.0) -> Run:
    config = TransferConfig(data=MINE, attack="fgsm")
    return transfer([Net(), Net(sign)], config, data_dir=data, runs_dir=where, display=False, device="cpu")


def run_analysis(where: Path, data: Path, sign: float = 1.0) -> Run:
    config = CurvatureConfig(data=MINE, images=3)
    return analyze_curvature(Net(sign), config, data_dir=data, runs_dir=where, display=False, device="cpu")


def run_evaluation(where: Path, data: Path, sign: float = 1.0) -> Run:
    config = EvaluateConfig(data=MINE, attacks=("fgsm",))
    return evaluate(Net(sign), config, data_dir=data, runs_dir=where, display=False, device="cpu")


@pytest.mark.parametrize("run", [run_evaluation, run_transfer, run_analysis])
def test_other_data_or_other_code_is_not_the_finished_run(run: Callable[..., Run], tmp_path: Path) -> None:
    one, other = folder(tmp_path / "one"), folder(tmp_path / "other", seed=1)
    first = run(tmp_path / "runs", one)
    assert run(tmp_path / "runs", one).found
    with pytest.raises(RunError, match="another data"):
        run(tmp_path / "runs", other)
    with pytest.raises(RunError, match="another network"):
        run(tmp_path / "runs", one, sign=-1.0)
    assert first.result() == Run.at(first.path).result()


class Late(Net):
    """Another network for one image, late in the test split."""

    def forward(self, x: Tensor) -> Tensor:
        dark = x.flatten(1)[:, :1] < 0.003
        return torch.where(dark, -super().forward(x), super().forward(x))


class Masked(Net):
    """The same outputs, and no gradient."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward((255 * x).round() / 255)


@pytest.mark.parametrize("other", [Late, Masked])
def test_other_code_is_found_by_late_images_and_by_gradients(other: type[Net], tmp_path: Path) -> None:
    """A network whose gradients were mended has the same outputs, and is attacked otherwise."""
    data = folder(tmp_path / "data", count=60)
    for part in ("train", "test"):
        held = dict(np.load(data / f"{part}.npz"))
        held["images"][:, 0, 0, 0] = 9
        held["images"][41, 0, 0, 0] = 0
        np.savez(data / f"{part}.npz", **held)
    split = MINE.load(data)
    then, now = (examine([Target(model, "net", "0")], split)[0] for model in (Net(), other()))
    assert then["outputs"] == now["outputs"]
    assert "another network" in str(difference(then, now))
    assert difference({"data": then["data"], "outputs": then["outputs"]}, now) is None  # runs from before this was kept


class Written(Net):
    """Writes into its input."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.mul_(1.0))


class Cut(Net):
    """Has no gradient at all."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).detach()


class Noisy(Net):
    """Draws at random."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x + torch.rand_like(x))


@pytest.mark.parametrize("analysis", ["curvature", "landscape"])
@pytest.mark.parametrize(
    ("model", "message"), [(Written, "in place"), (Cut, "does not depend"), (partial(Net, classes=2), "labels: got 2")]
)
def test_analyses_refuse_what_attacks_refuse(
    analysis: str, model: Callable[[], Net], message: str, tmp_path: Path
) -> None:
    config: Any = {"curvature": CurvatureConfig, "landscape": LandscapeConfig}[analysis](data=MINE, images=3)
    run = {"curvature": analyze_curvature, "landscape": analyze_landscape}[analysis]
    with pytest.raises(ModelContractError, match=message):
        run(model(), config, data_dir=folder(tmp_path / "data"), runs_dir=tmp_path, display=False, device="cpu")
    assert not list(tmp_path.glob("analyze/*"))


def test_analyses_warn_of_what_attacks_warn_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config, data = CurvatureConfig(data=MINE, images=3), folder(tmp_path / "data")
    analyze_curvature(Noisy(), config, data_dir=data, runs_dir=tmp_path, device="cpu")
    assert "random" in capsys.readouterr().out


def test_kept_examples_of_other_data_are_not_used_for_another_matrix(tmp_path: Path) -> None:
    one, other = folder(tmp_path / "one"), folder(tmp_path / "other", seed=1)
    run_transfer(tmp_path / "runs", one)
    config = TransferConfig(name="another", data=MINE, attack="fgsm")
    with pytest.raises(RunError, match="another data"):
        transfer([Net(), Net()], config, data_dir=other, runs_dir=tmp_path / "runs", display=False, device="cpu")


def target(classes: tuple[str, ...] | None, logits: int = 3) -> Target:
    return Target(Net(classes=logits), "net", "0" * 8, classes=classes)


def test_the_same_classes_pass_without_a_word(tmp_path: Path) -> None:
    assert examine([target(NAMES), target(None)], dataset(tmp_path))[1] == ()


def test_classes_in_another_order_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelContractError, match=r"net: trained on the classes dog, cat, owl; .* another order"):
        examine([target(("dog", "cat", "owl"))], dataset(tmp_path))


def test_another_number_of_classes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelContractError, match=r"trained on 2 classes .cat, dog.; the data has 3"):
        examine([target(("cat", "dog"))], dataset(tmp_path))


def test_other_names_and_classes_that_the_data_lacks_are_told(tmp_path: Path) -> None:
    found = examine([target(("a", "b", "c")), target(None, logits=5)], dataset(tmp_path))[1]
    assert found == (
        "net was trained on classes called a, b, c; those of the data are called cat, dog, owl",
        "net tells 5 classes; the data has 3",
    )


def test_classes_without_a_test_image_are_told_of_the_whole_split(tmp_path: Path) -> None:
    data = dataset(tmp_path)
    some = replace(data, test=data.test.subset((data.test.labels != 1).nonzero().flatten()))
    _, odd = examine([Target(Net(), "net", "0")], some)
    assert odd == ("no test image is of class dog: accuracies are of the others",)
    _, odd = examine([Target(Net(), "net", "0")], replace(some, test_index=torch.arange(len(some.test))))
    assert not odd


def test_the_result_holds_the_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = EvaluateConfig(data=MINE, attacks=("fgsm",))
    where: dict[str, Any] = {"data_dir": folder(tmp_path / "data"), "runs_dir": tmp_path / "runs", "device": "cpu"}
    run = evaluate(Net(classes=5), config, **where)
    assert run.result()["warnings"] == ["Net tells 5 classes; the data has 3"]
    assert "warning: Net tells 5 classes" in capsys.readouterr().out


def test_a_training_tells_its_classes(tmp_path: Path) -> None:
    config = TrainConfig(
        arch="resnet18", channels=2, data=MINE, epochs=1, batch_size=4, objective="standard", validation_examples=2
    )
    data = folder(tmp_path / "data")
    run = train(config, data_dir=data, runs_dir=tmp_path / "runs", display=False, device="cpu")
    assert read_classes(run.path) == MINE.load(data).classes
    assert find_target(str(run.path)).classes == MINE.load(data).classes
    copy = tmp_path / "copy.safetensors"
    assert main(["export", str(run.path), "--out", str(copy)]) == 0
    assert find_target(str(copy)).classes == MINE.load(data).classes
