"""Numbers that make no sense, fractions, seeds, closed pipes: before a folder is made, in words."""

import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from advrush.cli import main
from advrush.commands.search import check_warmup
from advrush.config import check_numbers, fraction, from_dict
from advrush.data import DataConfig
from advrush.errors import AdvrushError, ConfigError
from advrush.evaluation import EvaluateConfig, TransferConfig, transfer
from advrush.models.build import build
from advrush.run import Run
from advrush.searching import SearchConfig, search
from advrush.training import OptimizerConfig, TrainConfig, train
from advrush.training.objectives import Standard


@pytest.mark.parametrize(
    ("text", "number"), [("8/255", 8 / 255), ("0.5/255", 0.5 / 255), ("2/0", None), ("a/b", None), ("runs/7", None)]
)
def test_fractions_are_numbers_and_paths_are_not(text: str, number: float | None) -> None:
    assert fraction(text) == (text if number is None else repr(number))


def test_a_radius_in_255ths_is_understood(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert from_dict(EvaluateConfig, {"eps": "8/255"}).eps == 8 / 255
    assert from_dict(TrainConfig, {"attack": {"eps": "8/255"}}).attack.eps == 8 / 255
    with pytest.raises(ConfigError, match="eps"):
        from_dict(EvaluateConfig, {"eps": "8/256ths"})
    config = TrainConfig(
        arch="resnet18", channels=2, data=DataConfig("digits", train_examples=60), epochs=1, batch_size=20,
        objective="standard",
    )  # fmt: skip
    run = train(config, runs_dir=tmp_path, device="cpu", display=False)
    options = ["--attacks", "fgsm", "--eps", "8/255", "--data.test-examples", "10", "--runs-dir", str(tmp_path)]
    assert main(["evaluate", str(run.path), *options, "--quiet"]) == 0
    assert "eps 0.03137" in capsys.readouterr().out


@pytest.mark.parametrize(
    "config",
    [
        TrainConfig(seed=-1),
        TrainConfig(seed=2**40),
        SearchConfig(seed=2**32),
        EvaluateConfig(seed=-5),
        TrainConfig(optimizer=OptimizerConfig(clip=float("inf"))),
        TrainConfig(beta=float("inf")),
    ],
)
def test_numbers_without_sense_make_no_folder(config: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"seed|clip|beta"):
        check_numbers(config)
    with pytest.raises(ConfigError, match=r"seed|clip|beta"):
        Run.open(tmp_path, "train", "x", config)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("arch", ["advrush", "resnet18", "densenet121", "robnet_free"])
@pytest.mark.parametrize("channels", [0, -3, 10**8, 2**40])
def test_widths_that_no_memory_holds_are_refused(arch: str, channels: int) -> None:
    with pytest.raises(AdvrushError, match=r"(width|channels): got"):
        build(arch, channels=channels, layers=3 if arch == "advrush" else None)


@pytest.mark.parametrize("layers", [0, 10**6])
def test_depths_without_sense_are_refused(layers: int) -> None:
    with pytest.raises(AdvrushError, match="layers"):
        build("advrush", channels=4, layers=layers)
    with pytest.raises(AdvrushError, match="layers"):
        SearchConfig(layers=layers)


def test_one_attack_makes_the_examples_of_a_matrix(tmp_path: Path) -> None:
    nets = [nn.Sequential(nn.Flatten(), nn.Linear(64, 10)) for _ in range(2)]
    config = TransferConfig(data=DataConfig("digits", test_examples=10), attack="fgsm,pgd2")
    with pytest.raises(ConfigError, match="attack: got 'fgsm,pgd2'; expected one attack"):
        transfer(nets, config, runs_dir=tmp_path, display=False)


@pytest.mark.parametrize("stage", [search, train])
@pytest.mark.parametrize("config", [None, {"channels": 2}, "small", TrainConfig, EvaluateConfig()])
def test_what_is_no_configuration_is_named(stage: Any, config: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"config: got .*; expected a (Search|Train)Config"):
        stage(config, runs_dir=tmp_path, display=False)


@pytest.mark.parametrize(("stage", "config"), [(search, SearchConfig()), (train, TrainConfig(arch="resnet18"))])
@pytest.mark.parametrize("objective", ["pgd", len, object(), Standard])
def test_what_is_no_objective_is_named(stage: Any, config: Any, objective: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="objective: got"):
        stage(config, objective=objective, runs_dir=tmp_path, display=False)


def test_a_warmup_as_long_as_the_search_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="warmup_epochs: got 3; expected less than epochs"):
        check_warmup(SearchConfig(epochs=3, warmup_epochs=3))
    assert main(["search", "smoke", "--epochs", "1", "--runs-dir", str(tmp_path)]) == 2
    assert not list(tmp_path.iterdir())
    tiny = SearchConfig(data=DataConfig("digits", train_examples=32), channels=2, layers=3, batch_size=16)
    config = replace(tiny, objective="darts", epochs=1, warmup_epochs=1)
    assert search(config, runs_dir=tmp_path, device="cpu", display=False).done


def test_a_closed_pipe_ends_quietly() -> None:
    command = f"{sys.executable} -m advrush.cli search small --help | head -1"
    found = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, timeout=120)
    assert found.stdout.count("\n") == 1
    assert "Traceback" not in found.stderr
    assert "BrokenPipe" not in found.stderr


@pytest.mark.parametrize(
    ("words", "expected"),
    [(["--recompute"], True), (["--no-recompute"], False), (["--recompute", "False"], False), ([], None)],
)
def test_a_switch_that_may_be_unset_takes_no_value(
    words: list[str], expected: bool | None, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["train", "smoke", *words, "--epochs", "1", "--print-config"])
    assert tomllib.loads(capsys.readouterr().out).get("recompute") is expected
