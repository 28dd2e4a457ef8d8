"""The command line as a new user types it: help, mistakes, a real search, training and evaluation."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from advrush.cli import main
from advrush.commands import VERBS
from advrush.commands.options import read_recipe, recipes
from advrush.commands.search import seeds_of
from advrush.commands.train import architecture
from advrush.errors import ConfigError
from advrush.evaluation import EvaluateConfig
from advrush.run import Run
from advrush.searching import SearchConfig
from advrush.space import PUBLISHED
from advrush.training import TrainConfig


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in VERBS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["serch"], "did you mean 'search'?"),
        (["search"], "name a recipe"),
        (["search", "smol"], "did you mean"),
        (["search", "smoke", "--layers", "1"], "layers: got 1; expected"),
        (["search", "small"], "cifar10 does not come with the install"),
        (["search", "smoke", "--seeds", "3..1"], "seeds: got '3..1'"),
        (["train", "smoke", "--arch", "ADVRSH"], "did you mean 'advrush'?"),
        (["train", "small", "--arch", "ADVRSH"], "did you mean 'advrush'?"),
        (["evaluate", "nothing-here"], "no such run or weights file"),
        (["evaluate"], "name a training run"),
        (["show", "ADVRSH"], "did you mean 'ADVRUSH'?"),
        (["report"], "expected run directories"),
    ],
)
def test_mistakes_exit_with_2_and_say_what_is_right(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    launches = arguments[0] in ("search", "train", "evaluate") and len(arguments) > 1
    runs = ["--runs-dir", str(tmp_path)] if launches else []
    assert main([*arguments, *runs]) == 2
    assert message in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("words", [["evaluate", "{}"], ["{}"], ["show", "{}"], ["train", "{}"], ["runs", "--{}", "x"]])
def test_what_is_repeated_does_not_steer_the_terminal(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    main([word.format("a\x1b]0;title\x07\x9b31m\u202eb") for word in words])
    said = "".join(capsys.readouterr())
    assert said and not any(mark in said for mark in ("\x1b", "\x07", "\x9b", "\u202e"))


def test_unknown_field_is_refused_with_a_suggestion_and_no_traceback() -> None:
    command = [sys.executable, "-m", "advrush.cli", "search", "smoke", "--curvature.gama", "0.1"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "COLUMNS": "200"})
    assert done.returncode == 2
    assert "--curvature.gamma" in done.stderr + done.stdout
    assert "Traceback" not in done.stderr + done.stdout


@pytest.mark.parametrize(
    ("stage", "cls"), [("search", SearchConfig), ("train", TrainConfig), ("evaluate", EvaluateConfig)]
)
def test_every_recipe_can_be_read(stage: str, cls: type[object]) -> None:
    names = recipes(stage)
    assert names
    for name, path in names.items():
        assert isinstance(read_recipe(stage, cls, name), cls)
        assert path.read_text().startswith("#"), f"{path}: a header says what it costs and gives"


def test_paper_search_recipe_is_the_default_configuration() -> None:
    recipe = read_recipe("search", SearchConfig, "paper")
    assert replace(recipe, name="advrush") == SearchConfig()


def test_seeds_are_a_range_or_a_list() -> None:
    assert seeds_of("0..3") == [0, 1, 2, 3]
    assert seeds_of("5,2") == [5, 2]
    for wrong in ("3..1", "a", "1,,2", "-1"):
        with pytest.raises(ConfigError, match="seeds: got"):
            seeds_of(wrong)


def test_architecture_of_a_file_is_its_text(tmp_path: Path) -> None:
    path = tmp_path / "genotype.json"
    path.write_text(PUBLISHED["RACL"].to_json())
    assert architecture(str(path)) == PUBLISHED["RACL"].to_json()
    assert architecture("RACL") == "RACL"


def test_search_train_evaluate_show_runs_in_a_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def advrush(*arguments: str) -> str:
        code = main(arguments)
        told = capsys.readouterr()
        assert code == 0, told.err
        return told.out

    small = ["--data.train-examples", "64"]
    small_search = ["--channels", "2", "--epochs", "1", "--warmup-epochs", "0", *small]
    searched = advrush("search", "smoke", *small_search)
    search_run = next((tmp_path / "runs" / "search").iterdir())
    assert (search_run / "report.html").is_file()
    assert len([line for line in searched.splitlines() if line.startswith("epoch")]) == 1

    arguments = ["train", "smoke", "--arch", str(search_run), "--epochs", "1", *small, "--validation-examples", "20"]
    advrush(*arguments)
    train_run = next((tmp_path / "runs" / "train").iterdir())

    advrush("evaluate", str(train_run), "--attacks", "fgsm,pgd3", "--eps", "0.1", "--data.test-examples", "40")
    result = Run.at(next((tmp_path / "runs" / "evaluate").iterdir())).result()
    assert result["examples"] == 40
    assert [row["name"] for row in result["attacks"]] == ["fgsm", "pgd3"]

    listed = advrush("runs")
    assert all(run.name.split("-")[-1] in listed for run in (search_run, train_run))
    assert "Normal cell" in advrush("show", str(search_run))

    advrush("report", "runs", "--out", "all.html")
    page = (tmp_path / "all.html").read_text(encoding="utf-8")
    assert all(heading in page for heading in (">Search<", ">Training<", ">Robustness<"))
