"""Recipes of trainings: each loads, says its cost, and those of the paper hold the paper's values."""

from importlib import resources
from pathlib import Path

import pytest

from advrush import config as configs
from advrush.data import Augment
from advrush.training import TrainConfig

FOLDER = Path(str(resources.files("advrush"))) / "recipes" / "train"
TABLE_A1 = {  # epochs, lr, epochs at which the rate falls by 0.1
    "cifar10": (200, 0.1, (100, 150)),
    "cifar100": (200, 0.1, (100, 150)),
    "svhn": (200, 0.01, (100, 150)),
    "tiny_imagenet": (90, 0.1, (30, 60)),
}


def recipe(name: str) -> TrainConfig:
    return configs.load(TrainConfig, FOLDER / f"{name}.toml")


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.toml")), ids=lambda path: path.stem)
def test_every_recipe_loads_and_begins_with_what_it_is(path: Path) -> None:
    config = recipe(path.stem)
    assert config.epochs >= 1
    assert path.read_text().startswith("# ")


@pytest.mark.parametrize("objective", ["adversarial", "trades"])
@pytest.mark.parametrize("dataset", TABLE_A1)
def test_adversarial_recipes_are_table_a1(dataset: str, objective: str) -> None:
    config, (epochs, lr, falls) = recipe(f"{objective}-{dataset}"), TABLE_A1[dataset]
    o, a = config.optimizer, config.attack
    assert config.data.dataset == dataset
    assert config.objective == {"adversarial": "pgd", "trades": "trades"}[objective]
    assert (config.epochs, o.lr, o.decay_epochs, o.decay_factor) == (epochs, lr, falls, 0.1)
    assert (o.momentum, o.weight_decay, o.schedule, o.clip) == (0.9, 1e-4, "step", 5.0)
    assert (a.eps, a.steps, a.step_size, config.batch_size) == (0.031, 7, 0.01, 64)
    assert (config.auxiliary, config.drop_path, config.beta) == (0.0, 0.0, 6.0)
    assert (config.awp, config.ema, config.precision, config.channels) == (0.0, 0.0, "float32", None)


@pytest.mark.parametrize("dataset", TABLE_A1)
def test_standard_recipes_are_the_papers(dataset: str) -> None:
    config = recipe(f"standard-{dataset}")
    o = config.optimizer
    assert (config.objective, config.data.dataset, config.epochs, config.batch_size) == ("standard", dataset, 600, 96)
    assert (o.lr, o.lr_min, o.schedule, o.momentum, o.weight_decay, o.clip) == (0.025, 0.0, "cosine", 0.9, 3e-4, 5.0)
    assert (config.auxiliary, config.drop_path) == (0.4, 0.2)
    assert config.augment == Augment(crop=4, flip=True, cutout=16, cutout_fill="mean")


def test_modern_says_that_it_is_not_the_papers() -> None:
    assert "Not the paper's" in (FOLDER / "modern.toml").read_text()
    config = recipe("modern")
    assert (config.optimizer.schedule, config.awp > 0, config.ema > 0) == ("one-cycle", True, True)
