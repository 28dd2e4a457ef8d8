"""Estimates of AutoAttack's outcome: their formulas by hand values, their names, and what they find."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from advrush.attacks import APGD, MALT, PGD, Adaptive, AutoAttack, Linf, parse_attacks
from advrush.attacks.adaptive import directions
from advrush.attacks.attack import seeded
from advrush.attacks.ensemble.random_streams import BatchStream, ExampleStream, Group
from advrush.attacks.losses import pma
from advrush.attacks.malt import nearest_classes
from advrush.evaluation import measure
from attack_models import checkpoint, checkpoint_images, images, small

ESTIMATES = [PGD(loss="pma"), APGD(loss="pma"), MALT(), Adaptive()]


def test_pma_is_the_margin_of_probabilities() -> None:
    logits = torch.tensor([[math.log(5.0), math.log(3.0), math.log(2.0)], [0.0, math.log(6.0), 0.0]]).double()
    expected = torch.tensor([0.3 - 0.5, 0.75 - 0.125], dtype=torch.float64)
    torch.testing.assert_close(pma(logits, torch.tensor([0, 2])), expected)


def test_the_gradient_of_pma_weighs_by_probabilities() -> None:
    logits = torch.tensor([[math.log(5.0), math.log(3.0), math.log(2.0)]], dtype=torch.float64, requires_grad=True)
    pma(logits, torch.tensor([0])).sum().backward()
    # d(p_1 - p_0)/dz_k = p_1 (1[k = 1] - p_k) - p_0 (1[k = 0] - p_k)
    expected = torch.tensor([[-0.3 * 0.5 - 0.5 * 0.5, 0.3 * 0.7 + 0.5 * 0.3, -0.3 * 0.2 + 0.5 * 0.2]])
    torch.testing.assert_close(logits.grad, expected.double())


class Linear(nn.Module):
    """Logits of two pixels by rows of a matrix."""

    def __init__(self, rows: list[list[float]]) -> None:
        super().__init__()
        self.rows = nn.Parameter(torch.tensor(rows, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ self.rows.T


def test_malt_ranks_by_the_distance_to_the_boundary_of_a_linear_model() -> None:
    model = Linear([[4.0, 0.0], [3.0, 0.0], [0.0, 12.0], [-1.0, 0.0]])
    x = torch.tensor([1.0, 0.25], dtype=torch.float64).view(1, 1, 1, 2)
    # logits 4, 3, 3, -1: gaps 1, 1, 5 over slopes of length 1, sqrt(16 + 144), 5
    assert nearest_classes(model, x, torch.tensor([0]), candidates=9).tolist() == [[2, 1, 3]]
    x = torch.tensor([1.0, 0.0], dtype=torch.float64).view(1, 1, 1, 2)
    # logits 4, 3, 0, -1: distances 1, 4 / sqrt(160), 5 / 5
    assert nearest_classes(model, x, torch.tensor([0]), candidates=3).tolist()[0][0] == 2
    assert nearest_classes(model, x, torch.tensor([0]), candidates=2).tolist() == [[2, 1]]
    assert nearest_classes(model, x, torch.tensor([0]), candidates=1).tolist() == [[1]]


def test_directions_take_the_learnt_signs_at_label_and_runner_up() -> None:
    y, runner_up = torch.tensor([0, 1, 2]), torch.tensor([1, 2, 0])
    logits = torch.zeros(3, 4, dtype=torch.float64)

    def draw(learnt: list[float]) -> Tensor:
        stream = BatchStream((Group(seeded(0), 3, torch.arange(3)),))
        return directions(stream, y, runner_up, torch.tensor(learnt, dtype=torch.float64), logits)

    plain, learnt = draw([0.0, 0.0]), draw([-2.0, 0.5])
    assert float(plain.abs().max()) <= 1
    for w, row, label, other in zip(learnt, plain, y, runner_up, strict=True):
        assert w[label] == -row[label].abs()
        assert w[other] == row[other].abs()
        rest = [k for k in range(4) if k not in (int(label), int(other))]
        assert torch.equal(w[rest], row[rest])


@pytest.mark.parametrize(
    "stream", [BatchStream((Group(seeded(3), 6, torch.arange(6)),)), ExampleStream(3, torch.arange(6))]
)
def test_numbers_of_some_rows_are_those_they_get_where_all_draw(stream: BatchStream | ExampleStream) -> None:
    rows = torch.tensor([1, 4])
    again = (
        replace(stream, groups=(Group(seeded(3), 6, torch.arange(6)),))
        if isinstance(stream, BatchStream)
        else ExampleStream(3, torch.arange(6))
    )
    assert torch.equal(stream.of(rows).each((2, 3)), again.each((2, 3))[rows])


def test_estimates_are_named_so() -> None:
    words = "pgd_pma20,pgd20-pma,pgd_pma7x2,apgd-pma,malt,adaptive"
    names = [attack.name for attack in parse_attacks(words, Linf(0.031))]
    twice = ["pgd_pma20_estimate"] * 2
    assert names == [*twice, "pgd_pma7x2_estimate", "apgd_pma_estimate", "malt_estimate", "adaptive_estimate"]
    assert [attack.name for attack in parse_attacks("pgd20,apgd_ce", Linf(0.031))] == ["pgd20", "apgd_ce"]


def test_results_say_that_they_are_estimates() -> None:
    model = small()
    x, y = images(model)
    found = measure(model, x, y, attacks=[PGD(steps=2), *(replace(attack, eps=0.1) for attack in ESTIMATES)])
    rows = found.to_dict()["attacks"]
    assert [row.get("estimate", False) for row in rows] == [False, True, True, True, True]


@pytest.mark.parametrize("attack", ESTIMATES, ids=lambda a: a.name)
@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_estimates_stay_in_the_ball_and_break_what_is_fragile(attack: PGD, norm: str) -> None:
    model = small()
    x, y = images(model)
    with torch.no_grad():
        for eps in (0.01, 0.5):
            tried = replace(attack, eps=eps, norm=norm)
            x_adv = tried(model, x, y)
            length = (x_adv - x).flatten(1).norm(dim=1, p=torch.inf if norm == "Linf" else 2)
            assert float(length.max()) <= eps + 1e-6
            assert torch.equal(x_adv, tried(model, x, y))
        assert int((model(x_adv).argmax(dim=1) == y).sum()) <= (1 if norm == "Linf" else 4)


@pytest.mark.parametrize("attack", [MALT(eps=2 / 255), Adaptive(eps=2 / 255)], ids=lambda a: a.name)
def test_estimates_come_near_the_strongest_attack_known(attack: MALT | Adaptive) -> None:
    model = checkpoint("cnn_a_adv")
    x, y = checkpoint_images()
    with torch.no_grad():
        accuracy = float((model(attack(model, x, y)).argmax(dim=1) == y).double().mean())
    assert 0.485 <= accuracy <= 0.515


def test_adaptive_costs_a_fraction_of_autoattacks_gradients() -> None:
    model = small()
    x, y = images(model, 6)
    spent = {}
    for attack in (AutoAttack(eps=1e-3, version="custom", attacks=("apgd_ce", "apgd_t")), Adaptive(eps=1e-3)):
        (row,) = measure(model, x, y, attacks=[attack]).to_dict()["attacks"]
        spent[attack.name] = row["backwards"]
    assert 0 < spent["adaptive_estimate"] < spent["apgd_ce+apgd_t"] / 5
