"""Outcomes, example by example, against the published implementation (`pyautoattack`, in the development extra)."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from advrush.attacks import APGD, APGDT, FAB, Attack, AutoAttack, Square
from advrush.attacks.ensemble.cascade import cascade
from attack_models import checkpoint, checkpoint_images, images, small

reference = pytest.importorskip("pyautoattack", reason="needs pyautoattack==0.2.0 (pip install advrush[dev])")

Pair = tuple[Attack, Callable[[nn.Module], Any]]


def pairs(norm: str, eps: float) -> dict[str, Pair]:
    """Return each attack with small budgets, and how to make its published counterpart."""
    from pyautoattack.autopgd_base import APGDAttack, APGDAttack_targeted
    from pyautoattack.fab_pt import FABAttack_PT
    from pyautoattack.square import SquareAttack

    same: dict[str, Any] = {"norm": norm, "eps": eps, "seed": 3}
    theirs = {**same, "device": "cpu"}
    return {
        "apgd_ce": (
            APGD(steps=25, restarts=2, **same),
            lambda model: APGDAttack(model, n_iter=25, n_restarts=2, loss="ce", **theirs),
        ),
        "apgd_dlr": (APGD(steps=25, loss="dlr", **same), lambda m: APGDAttack(m, n_iter=25, loss="dlr", **theirs)),
        "apgd_t": (
            APGDT(steps=15, targets=4, **same),
            lambda model: APGDAttack_targeted(model, n_iter=15, n_target_classes=4, **theirs),
        ),
        "fab": (
            FAB(steps=10, restarts=2, **same),
            lambda model: FABAttack_PT(model, n_iter=10, n_restarts=2, **theirs),
        ),
        "fab_t": (
            FAB(steps=12, targets=3, **same),
            lambda model: FABAttack_PT(model, n_iter=12, n_target_classes=3, targeted=True, **theirs),
        ),
        "square": (
            Square(queries=250, **same),
            lambda model: SquareAttack(model, n_queries=250, resc_schedule=False, **theirs),
        ),
    }


def correct(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    with torch.no_grad():
        return model(x).argmax(dim=1) == y


ALL = ["apgd_ce", "apgd_dlr", "apgd_t", "fab", "fab_t", "square"]


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(("network", "norm", "eps"), [("cnn_a_adv", "Linf", 4 / 255), ("cnn_a_mix4", "L2", 0.4)])
def test_same_outcomes_on_robust_networks(network: str, norm: str, eps: float, name: str) -> None:
    model = checkpoint(network)
    x, y = (tensor[:48] for tensor in checkpoint_images())
    ours, theirs = pairs(norm, eps)[name]
    expected = correct(model, theirs(model).perturb(x.clone(), y.clone()), y)
    assert 0 < int(expected.sum()) < int(correct(model, x, y).sum())
    assert torch.equal(correct(model, ours(model, x, y), y), expected)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(("norm", "eps"), [("Linf", 0.02), ("L2", 0.15)])
def test_same_outcomes_on_gray_images(norm: str, eps: float, name: str) -> None:
    model = small(channels=1, size=10)
    x, y = images(model, 40, channels=1, size=10)
    ours, theirs = pairs(norm, eps)[name]
    expected = correct(model, theirs(model).perturb(x.clone(), y.clone()), y)
    assert torch.equal(correct(model, ours(model, x, y), y), expected)


@pytest.mark.parametrize("batch_size", [7, 30])
def test_same_outcomes_in_batches(batch_size: int) -> None:
    """Rounds are regrouped into full batches here, and yet each example draws the numbers of the published order."""
    model = small(seed=1, size=10)
    x, y = images(model, 30, size=10)
    y = y.clone()
    y[3] = (y[3] + 1) % 10
    names = ["apgd_ce", "apgd_t"]
    judge = reference.AutoAttack(model, version="custom", attacks=["apgd-ce", "apgd-t"], seed=3)
    judge.apgd, judge.apgd_targeted = (pairs("Linf", 0.008)[name][1](model) for name in names)
    _, predicted = judge.run_standard_evaluation(x, y, batch_size=batch_size)
    attacks = [pairs("Linf", 0.008)[name][0] for name in names]
    flags = cascade(model, x, y, attacks=attacks, batch_size=batch_size).flags()  # type: ignore[arg-type]
    assert 0 < int(flags.sum()) < 29
    assert torch.equal(flags, predicted == y)


def test_same_outcomes_of_the_whole_standard_cascade() -> None:
    model = small(seed=1, size=8)
    x, y = images(model, 12, size=8)
    _, predicted = reference.AutoAttack(model, eps=0.05, seed=0).run_standard_evaluation(x, y, batch_size=5)
    assert torch.equal(AutoAttack(eps=0.05, batch_size=5).run(model, x, y).flags, predicted == y)
