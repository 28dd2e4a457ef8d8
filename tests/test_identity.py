"""Digests of configurations that runs were made with, and what a run is of besides."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field, make_dataclass
from pathlib import Path
from typing import Any

import pytest

from advrush.analysis.config import ArchitectureConfig, CurvatureConfig, LandscapeConfig, PathConfig
from advrush.commands.options import read_recipe, recipes
from advrush.config import digest, from_dict, to_dict
from advrush.evaluation import EvaluateConfig, TransferConfig
from advrush.identity import code_of, described, difference, of_objective
from advrush.searching import SearchConfig
from advrush.training import TrainConfig

STAGES: dict[str, Any] = {"search": SearchConfig, "train": TrainConfig, "evaluate": EvaluateConfig}
RECIPES = {
    ("search", "authors"): "141338f0",
    ("search", "authors-2021"): "b1e9b4f2",
    ("search", "demo"): "13186799",
    ("search", "exact"): "9d351c3b",
    ("search", "nasbench201"): "6b525cff",
    ("search", "paper"): "cc243add",
    ("search", "small"): "f6e3841e",
    ("search", "smoke"): "ba6c4f0f",
    ("train", "adversarial-cifar10"): "fdb71dc1",
    ("train", "adversarial-cifar100"): "7dc5ebf7",
    ("train", "adversarial-svhn"): "bd191f2e",
    ("train", "adversarial-tiny_imagenet"): "be1917cb",
    ("train", "demo-network"): "5084c743",
    ("train", "demo-resnet"): "eb179c11",
    ("train", "modern"): "3a359db3",
    ("train", "small-standard"): "c04b5eab",
    ("train", "small-trades"): "8fff8413",
    ("train", "small"): "bf7ad85c",
    ("train", "smoke-standard"): "48efc50e",
    ("train", "smoke-trades"): "d281ace9",
    ("train", "smoke"): "ba8880d9",
    ("train", "standard-cifar10"): "a0f098af",
    ("train", "standard-cifar100"): "af46d0d2",
    ("train", "standard-svhn"): "d1deac93",
    ("train", "standard-tiny_imagenet"): "fd3a90d2",
    ("train", "trades-cifar10"): "3aeb2ccf",
    ("train", "trades-cifar100"): "4044e03a",
    ("train", "trades-svhn"): "a5cc7ff4",
    ("train", "trades-tiny_imagenet"): "7b6d6e58",
    ("evaluate", "demo"): "f9004c80",
}
"""Runs lie under these names. A new field that changes one wants `metadata={"since": 2}` (see `config.digest`)."""
DEFAULTS: dict[Any, str] = {
    SearchConfig: "1a788288",
    TrainConfig: "7e11f177",
    EvaluateConfig: "6163c080",
    TransferConfig: "c26d4e5b",
    CurvatureConfig: "bd26d30a",
    LandscapeConfig: "bd4dd27b",
    PathConfig: "ec980dc9",
    ArchitectureConfig: "dc19adb7",
}


@pytest.mark.parametrize("recipe", RECIPES, ids="-".join)
def test_a_recipe_finds_the_runs_that_were_made_with_it(recipe: tuple[str, str]) -> None:
    stage, name = recipe
    assert digest(read_recipe(stage, STAGES[stage], name)) == RECIPES[recipe]


def test_no_recipe_that_runs_were_made_with_has_gone() -> None:
    assert set(RECIPES) <= {(stage, name) for stage in STAGES for name in recipes(stage)}


@pytest.mark.parametrize("cls", DEFAULTS, ids=lambda cls: cls.__name__)
def test_defaults_find_the_runs_that_were_made_with_them(cls: Any) -> None:
    assert digest(cls()) == DEFAULTS[cls]


@dataclass(frozen=True)
class Inner:
    rate: float = 0.1


@dataclass(frozen=True)
class Config:
    seed: int = 0
    inner: Inner = field(default_factory=Inner)


def later(**fields: Any) -> Any:
    """Return the class as it is after an upgrade that brought `fields`."""
    added = [(name, type(value), field(default=value, metadata={"since": 2})) for name, value in fields.items()]
    return make_dataclass("Config", added, bases=(Config,), frozen=True)


def test_a_new_field_with_its_default_value_leaves_the_digest() -> None:
    new = later(depth=3, name="x", rates=(1, 2))
    assert digest(new()) == digest(Config())
    assert digest(new(seed=1)) == digest(Config(seed=1))
    assert to_dict(new())["depth"] == 3, "the run's configuration says it all the same"
    assert digest(from_dict(new, to_dict(Config()))) == digest(Config())


@pytest.mark.parametrize("change", [{"depth": 4}, {"name": "y"}, {"rates": ()}])
def test_a_new_field_with_another_value_is_another_run(change: dict[str, Any]) -> None:
    new = later(depth=3, name="x", rates=(1, 2))
    assert digest(new(**change)) not in {digest(Config()), digest(new())}


def test_a_new_field_inside_another_configuration_leaves_the_digest() -> None:
    @dataclass(frozen=True)
    class Inner2(Inner):
        decay: float = field(default=0.5, metadata={"since": 2})

    assert digest(Config(inner=Inner2())) == digest(Config())
    assert digest(Config(inner=Inner2(decay=0.4))) != digest(Config())


def test_a_whole_configuration_that_came_later_leaves_the_digest() -> None:
    more = field(default_factory=Inner, metadata={"since": 2})
    new = make_dataclass("Config", [("more", Inner, more)], bases=(Config,), frozen=True)
    assert digest(new()) == digest(Config())
    assert digest(new(more=Inner(0.2))) != digest(Config())


def test_a_field_without_a_mark_is_part_of_the_digest() -> None:
    plain = make_dataclass("Config", [("depth", int, field(default=3))], bases=(Config,), frozen=True)
    assert digest(plain()) != digest(Config())


@pytest.mark.parametrize(
    ("known", "now", "differs"),
    [
        ({"data": "a"}, {"data": "b"}, "another data: a then, b now"),
        ({"data": "a"}, {"data": "a", "objective": "x"}, "another objective: none of one's own then, x now"),
        ({"data": "a", "objective": "x"}, {"data": "a"}, "another objective: x then, none of one's own now"),
        ({"data": "a"}, {}, None),
        ({"data": "a", "normalization": "0.1/0.3"}, {"data": "a", "normalization": "0.1/0.2"}, "another normalization"),
        ({"data": "a", "normalization": "0.1/0.3"}, {"data": "a"}, "another normalization: 0.1/0.3 then"),
        ({"data": "a"}, {"data": "a", "normalization": "0.1/0.2"}, None),  # a run from before it was recorded
        ({}, {"data": "a"}, None),
        ({"outputs": [1.0, -2.0]}, {"outputs": [1.00001, -2.0]}, None),
        ({"outputs": [1.0, -2.0]}, {"outputs": [1.0, 2.0]}, "another network: [1, -2] on test images then, [1, 2]"),
        ({"outputs": [[1.0], [2.0]]}, {"outputs": [[1.00001], [2.0]]}, None),
        ({"outputs": [[1.0], [2.0]]}, {"outputs": [[1.0], [3.0]]}, "another network"),
        ({"outputs": [[1.0], [2.0]]}, {"outputs": [[1.0]]}, "another network"),
        ({"outputs": [1.0]}, {"outputs": [1.0, 2.0]}, "another network"),
        ([], {"data": "a"}, None),
    ],
)
def test_what_differs_is_named(known: Any, now: dict[str, Any], differs: str | None) -> None:
    found = difference(known, now)
    assert found is None if differs is None else found is not None and found.startswith(differs)


def test_changed_code_of_an_objective_is_another_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    codes = []
    for number, body in enumerate(("return 1", "return 1  # as before", "return 2")):
        name = f"objective_{tmp_path.name}_{number}"
        (tmp_path / f"{name}.py").write_text(f"class Mine:\n    def loss(self):\n        {body}\n")
        codes.append(code_of(importlib.import_module(name).Mine()))
    assert codes[0] == codes[1] != codes[2]
    assert code_of(Inner(0.1)) != code_of(Inner(0.2))
    known = {"objective": "x", "objective_code": codes[0]}
    assert str(difference(known, known | {"objective_code": codes[2]})).startswith("another code of the objective")
    assert difference({"objective": "x"}, known) is None  # a run from before it was recorded
    assert of_objective(None) == {}


def test_objectives_are_told_by_class_and_plain_fields() -> None:
    assert described(Inner(0.2)).endswith("Inner(rate=0.2)")
    assert "0x" not in described(object())
