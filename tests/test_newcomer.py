"""What a newcomer types and reads: arguments that are none, names of radii, lines of a start, windows without width."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import linear_digits
from advrush import PGD, derive, evaluate, load, measure
from advrush.attacks import FGSM
from advrush.cli import main
from advrush.config import radius_name
from advrush.errors import ConfigError, ModelContractError
from advrush.evaluation.robust_accuracy import attack_names
from advrush.progress import plain_console


def test_radii_are_named_as_they_were_given() -> None:
    assert [radius_name(eps) for eps in (8 / 255, 0.0314159, 1 / 255)] == ["8/255", "0.03142", "1/255"]
    assert radius_name(0.5, "L2") == "0.5"
    several = [FGSM(2 / 255), FGSM(8 / 255), FGSM(0.0314)]
    assert attack_names(several) == ["fgsm, eps 2/255", "fgsm, eps 8/255", "fgsm, eps 0.0314"]
    assert attack_names([FGSM(0.1), PGD(0.2, steps=3), FGSM(0.1)]) == ["fgsm", "pgd3", "fgsm#2"]
    balls = [PGD(0.03, steps=3), PGD(0.5, steps=3, norm="L2"), PGD(0.5, steps=3, norm="L2", seed=1)]
    assert attack_names(balls) == ["pgd3, Linf, eps 0.03", "pgd3, L2, eps 0.5", "pgd3, L2, eps 0.5#2"]


def test_lines_of_several_radii_tell_them(capsys: pytest.CaptureFixture[str]) -> None:
    data = (torch.rand(4, 1, 8, 8), torch.tensor([0, 1, 2, 3]))
    evaluate(linear_digits.make(), data, attacks="fgsm", eps=(2 / 255, 8 / 255), device="cpu")
    assert "fgsm, eps 8/255 " in capsys.readouterr().out


@pytest.mark.parametrize("value", [None, 3, ["runs"]])
def test_what_is_no_path_is_refused_by_name(value: object) -> None:
    with pytest.raises(ConfigError, match=r"path: got .*; expected the path of a training run"):
        load(value)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"run: got .*; expected the path of a run directory"):
        derive(value)  # type: ignore[arg-type]


def test_a_class_that_the_network_lacks_is_told_before_the_clean_pass() -> None:
    seen: list[str] = []
    x, y = torch.rand(4, 1, 8, 8), torch.tensor([0, 1, 2, 3])
    with pytest.raises(ModelContractError, match="target: got 12; the model tells 10 classes"):
        measure(
            linear_digits.make(), x, y, attacks=[FGSM(0.1, target=12)], on_outcome=lambda one: seen.append(one.name)
        )
    assert not seen


def test_a_checkpoint_without_its_architecture_is_asked_for_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", "model.pth"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert said.startswith("error: arch: got nothing; expected the architecture")
    assert "advrush import model.pth --arch ADVRUSH" in said


def test_a_file_without_an_architecture_is_named_and_not_echoed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes.txt").write_text("hello world\n" * 100)
    assert main(["train", "smoke", "--arch", str(tmp_path / "notes.txt")]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "notes.txt'; expected a file with a genotype" in said
    assert "hello" not in said


@pytest.mark.parametrize("columns", ["0", "00"])
def test_a_window_without_width_is_80_columns(columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert plain_console().width == 80
    monkeypatch.setenv("COLUMNS", "100")
    assert plain_console().width == 100


def test_transfer_says_what_it_starts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["python:linear_digits:make", "python:linear_digits:make_coarse", "--data.dataset", "digits",
                 "--data.test-examples", "20", "--attack", "fgsm", "--eps", "8/255", "--device", "cpu",
                 "--runs-dir", str(tmp_path)]  # fmt: skip
    assert main(["transfer", *arguments]) == 0
    out = capsys.readouterr().out
    (run,) = (tmp_path / "transfer").iterdir()
    assert [line.split()[0] for line in out.splitlines()[:6]] == ["data", "[1]", "[2]", "attack", "device", "run"]
    assert out.splitlines()[5] == f"run     {run}"
    assert main(["transfer", *arguments, "--quiet"]) == 0
    assert not capsys.readouterr().out.startswith("data")
