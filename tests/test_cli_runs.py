"""Runs on the command line: the list, addresses by digest, JSON, the configuration alone."""

import io
import json
import os
import tomllib
from pathlib import Path

import pytest
from rich.console import Console

from advrush.cli import main
from advrush.commands.addresses import run_of
from advrush.config import digest, from_dict, to_toml
from advrush.errors import RunError
from advrush.report import list_runs
from advrush.searching import SearchConfig
from advrush.training import TrainConfig


def make_run(place: Path, config: TrainConfig, changed: float, result: dict[str, object] | None = None) -> Path:
    """Write what a training leaves, without training."""
    path = place / "train" / f"{config.name}-{digest(config)}"
    path.mkdir(parents=True)
    (path / "config.toml").write_text(to_toml(config))
    (path / "environment.json").write_text("{}")
    if result is not None:
        (path / "result.json").write_text(json.dumps(result))
    for file in path.iterdir():
        os.utime(file, (changed, changed))
    return path


def test_runs_are_listed_newest_first_at_any_depth_in_one_line_each(tmp_path: Path) -> None:
    name = "a" * 60
    old = make_run(tmp_path, TrainConfig(name=name), 1e9, {"parameters": 12, "clean_acc_val": 0.9731, "epochs": 1})
    new = make_run(tmp_path / "deep" / "er", TrainConfig(name="[red]:smile:", epochs=7), 2e9)
    file = io.StringIO()
    list_runs(tmp_path, Console(file=file, width=80, force_terminal=True, markup=False, emoji=False, highlight=False))
    head, *lines = file.getvalue().splitlines()
    assert head.split() == ["digest", "stage", "name", "state", "numbers", "changed"]
    assert [line.split()[0] for line in lines] == [new.name[-8:], old.name[-8:]]
    assert max(map(len, lines)) <= 80
    assert "[red]:smile:" in lines[0]
    assert "epoch 0 of 7" in lines[0]
    assert "clean 97.31%" in lines[1]


def test_in_a_pipe_names_are_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_run(tmp_path, TrainConfig(name="b" * 120), 1e9)
    assert main(["runs", str(tmp_path)]) == 0
    assert "b" * 120 in capsys.readouterr().out
    assert main(["runs", "--json", str(tmp_path)]) == 0
    assert json.loads(capsys.readouterr().out)[0]["name"] == "b" * 120


def test_a_run_is_addressed_by_its_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = make_run(Path("runs/mine"), TrainConfig(), 1e9)
    number = path.name[-8:]
    assert run_of(number) == str(path)
    assert run_of(number[:5]) == str(path)
    assert run_of("0000") == "0000"
    assert run_of("ADVRUSH") == "ADVRUSH"
    Path(number).mkdir()
    assert run_of(number) == number
    (tmp_path / "other").mkdir()
    other = Path("runs/train") / f"x-{number[:5]}000"
    other.mkdir(parents=True)
    (other / "config.toml").write_text("")
    with pytest.raises(RunError, match="2 runs begin so"):
        run_of(number[:5])


def test_the_configuration_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = ["--runs-dir", str(tmp_path / "runs")]
    assert main(["search", "--epochs", "3", "smoke", "--print-config", *place]) == 0
    config = from_dict(SearchConfig, tomllib.loads(capsys.readouterr().out))
    assert (config.epochs, config.data.dataset) == (3, "digits")
    assert not list(tmp_path.iterdir())
    recipe = tmp_path / "mine.toml"
    recipe.write_text(to_toml(config))
    assert main(["search", str(recipe), "--print-config", *place]) == 0
    assert from_dict(SearchConfig, tomllib.loads(capsys.readouterr().out)) == config


def test_results_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = ["--data.train-examples", "40", "--epochs", "1", "--validation-examples", "8", "--batch-size", "16"]
    place = ["--runs-dir", str(tmp_path), "--device", "cpu", "--json"]
    assert main(["train", "smoke", "--arch", "resnet18", "--channels", "2", *small, *place]) == 0
    trained = json.loads(capsys.readouterr().out)["runs"][0]
    assert trained["stage"] == "train"
    assert trained["result"]["parameters"] > 0
    options = ["--attacks", "fgsm", "--data.test-examples", "10"]
    assert main(["evaluate", *options, trained["run"], *place]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["runs"][0]["result"]["examples"] == 10
    assert Path(told["report"]).is_file()
    assert main(["show", "--json", trained["run"]]) == 0
    assert json.loads(capsys.readouterr().out)[trained["run"]]["state"] == "done"
    assert main(["show", "ADVRUSH", "--json"]) == 0
    assert "normal" in json.loads(capsys.readouterr().out)["ADVRUSH"]["genotype"]
