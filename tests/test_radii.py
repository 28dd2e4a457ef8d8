"""A radius above 1 asks whether pixels of 255 were meant, wherever one is given."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
import torch
from torch import nn

from advrush.analysis.config import PathConfig
from advrush.analysis.largest_loss import largest_loss
from advrush.attacks import APGD, APGDT, FAB, FGSM, L2, MIFGSM, PGD, AutoAttack, Linf, Square, parse_attacks
from advrush.attacks.autoattack import Duo
from advrush.cli import main
from advrush.config import check_radius, from_dict
from advrush.errors import ConfigError
from advrush.evaluation import EvaluateConfig, TransferConfig
from advrush.searching import SearchConfig
from advrush.searching.config import AdversarialConfig
from advrush.tabular.config import InheritedScores
from advrush.training import TrainConfig
from advrush.training.config import AttackConfig

ATTACKS = (APGD, APGDT, AutoAttack, Duo, FAB, FGSM, MIFGSM, PGD, Square)
GIVEN: dict[str, Callable[[float], object]] = {
    **{attack.__name__: attack for attack in ATTACKS},
    "Linf": Linf,
    "by name": lambda eps: parse_attacks("pgd20", Linf(eps)),
    "evaluate": lambda eps: EvaluateConfig(eps=eps),
    "sweep": lambda eps: EvaluateConfig(sweep_eps=(0.01, eps)),
    "transfer": lambda eps: TransferConfig(eps=eps),
    "train": lambda eps: AttackConfig(eps=eps),
    "train's step": lambda eps: AttackConfig(step_size=eps),
    "train from a file": lambda eps: from_dict(TrainConfig, {"attack": {"eps": eps}}),
    "search": lambda eps: AdversarialConfig(eps=eps),
    "search's step": lambda eps: AdversarialConfig(step_size=eps),
    "search from a file": lambda eps: from_dict(SearchConfig, {"adversarial": {"eps": eps}}),
    "step of PGD": lambda eps: PGD(step_size=eps),
    "path": lambda eps: PathConfig(eps=eps),
    "benchmark": lambda eps: InheritedScores(eps=eps),
    "largest loss": lambda eps: largest_loss(
        nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), torch.rand(1, 1, 2, 2), torch.zeros(1).long(), eps=eps, steps=1
    ),
}
everywhere = pytest.mark.parametrize("give", GIVEN.values(), ids=GIVEN)


@everywhere
@pytest.mark.parametrize("eps", [8.0, 1.5, 255.0])
def test_a_radius_in_pixels_of_255_is_asked_about(give: Callable[[float], object], eps: float) -> None:
    with pytest.raises(ConfigError, match=f"got {eps}; expected at most 1, .*was {eps:g}/255 meant"):
        give(eps)


@everywhere
@pytest.mark.parametrize("eps", [0.0, -0.1, float("inf"), float("nan")])
def test_a_radius_that_is_none_is_refused(give: Callable[[float], object], eps: float) -> None:
    with pytest.raises(ConfigError, match="expected a number > 0"):
        give(eps)


@everywhere
def test_a_radius_within_the_pixels_is_taken(give: Callable[[float], object]) -> None:
    give(8 / 255)


@pytest.mark.parametrize(("eps", "taken"), [(0.5, True), (3.0, True), (30.0, True), (36.0, False), (128.0, False)])
def test_the_euclidean_norm_has_longer_radii(eps: float, taken: bool) -> None:
    gives = (L2, lambda eps: FGSM(eps, "L2"), lambda eps: EvaluateConfig(eps=eps, norm="L2"))
    for give in gives:
        if taken:
            give(eps)
        else:
            with pytest.raises(ConfigError, match=f"was {eps:g}/255 meant"):
                give(eps)


@pytest.mark.parametrize("norm", ["L2", "L1"])
def test_another_norm_does_not_take_the_default_of_linf(norm: Literal["L2", "L1"]) -> None:
    with pytest.raises(ConfigError, match=rf"eps: got 0.031; expected the radius of an {norm} ball"):
        EvaluateConfig(norm=norm)
    assert type(EvaluateConfig(norm=norm, eps=0.5).threat).__name__ == norm


def test_the_field_is_named() -> None:
    with pytest.raises(ConfigError, match=r"attack\.eps: got 8"):
        check_radius("attack.eps", 8)


@pytest.mark.parametrize(
    "words",
    [
        ["evaluate", "python:no:model", "--eps", "8"],
        ["evaluate", "python:no:model", "--sweep-eps", "4", "8"],
        ["transfer", "python:no:model", "python:no:model", "--eps", "8"],
        ["train", "small", "--attack.eps", "8"],
        ["search", "small", "--adversarial.eps", "8"],
        ["analyze", "path", "python:no:model", "python:no:model", "--eps", "8"],
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_the_command_asks_with_code_2_before_a_folder_is_made(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "--runs-dir", str(tmp_path / "runs")]) == 2
    assert "/255 meant?" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()
