"""A data set's own validation split chooses the checkpoint; all training images train."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from advrush import EvaluateConfig, evaluate
from advrush.data import Augment, DataConfig
from advrush.errors import ConfigError, RunError
from advrush.evaluation import find_target
from advrush.identity import IDENTITY
from advrush.run import Run
from advrush.training import AttackConfig, TrainConfig, train

CONFIG = TrainConfig(
    arch="resnet18", channels=2, epochs=1, batch_size=8, objective="standard", augment=Augment(crop=0, flip=False),
    attack=AttackConfig(eps=0.1, steps=1, val_steps=1), data=DataConfig("mine"),
)  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a data set of two classes all of whose validation images are white."""
    rng, where = np.random.default_rng(0), tmp_path / "data"
    where.mkdir()
    for part, count in (("train", 24), ("test", 8), ("validation", 10)):
        images = rng.integers(0, 200, (count, 8, 8, 3)).astype(np.uint8)
        images = np.full_like(images, 255) if part == "validation" else images
        np.savez(where / f"{part}.npz", images=images, labels=np.arange(count) % 2)
    return where


@pytest.mark.parametrize(("asked", "held"), [(None, 10), (4, 4)])
def test_the_split_is_used_and_no_training_image_is_held_out(
    folder: Path, tmp_path: Path, asked: int | None, held: int
) -> None:
    config = replace(CONFIG, validation_examples=asked)
    run = train(config, data_dir=folder, runs_dir=tmp_path / "runs", device="cpu", display=False)
    result = run.result()
    assert result["examples_val"] == held
    if asked is None:  # white images all get the same answer, which is right for half of them
        assert result["clean_acc_val"] == 0.5
    (folder / "validation.npz").unlink()
    less = train(config, data_dir=folder, runs_dir=tmp_path / "without", device="cpu", display=False)
    assert less.result()["examples_val"] == (asked or 2)


def test_more_than_the_split_holds_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="validation_examples: got 11; expected at most 10, the validation images"):
        train(replace(CONFIG, validation_examples=11), data_dir=folder, runs_dir=tmp_path, device="cpu", display=False)


def test_a_run_is_evaluated_on_its_own_data_where_they_lay(folder: Path, tmp_path: Path) -> None:
    run = train(CONFIG, data_dir=folder, runs_dir=tmp_path / "runs", device="cpu", display=False)
    options = {"runs_dir": tmp_path / "runs", "device": "cpu", "display": False}
    found = evaluate(run.path, **options).result()  # type: ignore[arg-type]
    assert found["dataset"] == "mine"
    assert found["examples"] == 8
    own = EvaluateConfig(data=DataConfig("mine"))
    told = evaluate(run.path, own, data_dir=folder, **options)  # type: ignore[arg-type]
    assert told.result()["clean_acc"] == found["clean_acc"]
    target = find_target(str(run.path))
    assert target.data == CONFIG.data
    assert target.place is not None and target.place.resolve() == folder.resolve()


def test_a_run_with_other_constants_for_resized_images_is_not_taken(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(CONFIG, data=DataConfig("mine", image_size=4))

    def again() -> Run:
        return train(config, data_dir=folder, runs_dir=tmp_path / "runs", device="cpu", display=False)

    run = again()
    identity = run.read_json(IDENTITY)
    assert set(identity) == {"data", "normalization"}
    with monkeypatch.context() as patch:
        patch.setattr("advrush.data.config.statistics", lambda split: ((0.5,) * 3, (0.25,) * 3))
        with pytest.raises(RunError, match=r"another normalization: .* 0\.500000,0\.500000,0\.500000/0\.25"):
            again()
        run.write_json(IDENTITY, {"data": identity["data"]})  # as older runs have it: their weights tell
        with pytest.raises(RunError, match=r"normalizes its images with mean .* those of today with \[0\.5"):
            again()
    assert again().found
