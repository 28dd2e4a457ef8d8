"""The L1 ball: its projection against bisection and against a grid, its attacks against the exact distance."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from advrush import EvaluateConfig, evaluate
from advrush.attacks import APGD, APGDT, FAB, FGSM, L1, MIFGSM, PGD, Attack, AutoAttack, Duo, Square, parse_attacks
from advrush.attacks.apgd_sparse import sparse_checkpoints
from advrush.attacks.l1_geometry import free_gradient, onto_l1_ball_in_box, sparse_direction
from advrush.cli import main
from advrush.data import DataConfig
from advrush.errors import ConfigError
from attack_models import checkpoint, checkpoint_images, images, small
from linear_digits import make


def by_bisection(x: Tensor, center: Tensor, eps: float) -> Tensor:
    """Return the projection by halving the interval of the multiplier 200 times."""
    offset = x - center
    room = torch.where(offset > 0, 1 - center, center)

    def length(t: Tensor) -> Tensor:
        return torch.minimum((offset.abs() - t[:, None]).clamp_min(0), room)

    low, high = torch.zeros(len(x), dtype=x.dtype), offset.abs().amax(dim=1)
    inside = length(low).sum(dim=1) <= eps
    for _ in range(200):
        middle = (low + high) / 2
        far = length(middle).sum(dim=1) > eps
        low, high = torch.where(far, middle, low), torch.where(far, high, middle)
    return center + offset.sign() * length(torch.where(inside, torch.zeros_like(high), high))


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    size=st.sampled_from([1, 2, 7, 192]),
    eps=st.sampled_from([1e-3, 0.3, 2.0, 12.0]),
    spread=st.sampled_from([0.01, 0.3, 3.0]),
)
def test_projection_is_that_of_bisection(seed: int, size: int, eps: float, spread: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    center = (torch.rand(5, size, generator=generator, dtype=torch.float64) * 1.4 - 0.2).clamp(0, 1)
    offset = spread * torch.randn(5, size, generator=generator, dtype=torch.float64)
    offset = torch.where(torch.rand(5, size, generator=generator) < 0.2, offset.round(decimals=1), offset)  # ties
    found = onto_l1_ball_in_box(center + offset, center, eps)
    torch.testing.assert_close(found, by_bisection(center + offset, center, eps), rtol=0, atol=1e-9)
    assert float((found - center).abs().sum(dim=1).amax()) <= eps + 1e-9
    assert 0 <= float(found.amin()) <= float(found.amax()) <= 1


def test_no_point_of_a_fine_grid_is_nearer() -> None:
    axis = torch.linspace(0, 1, 101, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    generator = torch.Generator().manual_seed(0)
    for eps in (0.1, 0.4, 0.9):
        for _ in range(10):
            center = torch.rand(1, 2, generator=generator, dtype=torch.float64)
            x = center + torch.randn(1, 2, generator=generator, dtype=torch.float64)
            found = onto_l1_ball_in_box(x, center, eps)
            near = grid[(grid - center).abs().sum(dim=1) <= eps]
            assert float((found - x).norm()) <= float((near - x).norm(dim=1).amin()) + 1e-9


def test_steps_are_sparse_and_of_length_one() -> None:
    gradient = torch.tensor([[0.1, -3.0, 2.0, 0.0], [0.0, 0.0, 0.0, 0.0], [1.0, 1.0, -1.0, 0.5]])
    assert torch.equal(sparse_direction(gradient[:1], 0.5), torch.tensor([[0.0, -0.5, 0.5, 0.0]]))
    assert torch.equal(sparse_direction(gradient, 0.01)[0], torch.tensor([0.0, -1.0, 0.0, 0.0]))
    assert torch.equal(sparse_direction(gradient, 1.0).abs().sum(dim=1), torch.tensor([1.0, 0.0, 1.0]))
    x = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
    assert torch.equal(free_gradient(torch.tensor([[1.0, -1.0, 1.0, -1.0]]), x), torch.tensor([[1.0, 0.0, 0.0, -1.0]]))
    assert sparse_checkpoints(100) == dict.fromkeys(range(3, 100, 4), 4)


ATTACKS: list[Attack] = [
    PGD(3.0, steps=5, step_size=1.0, norm="L1"),
    PGD(3.0, steps=5, step_size=1.0, norm="L1", restarts=2, loss="margin", start="none"),
    APGD(3.0, steps=30, norm="L1"),
    APGD(3.0, steps=30, norm="L1", loss="dlr", restarts=2),
    APGD(3.0, steps=30, norm="L1", target="next"),
    APGDT(3.0, steps=30, targets=3, norm="L1"),
]


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_never_leaves_ball_and_box_and_repeats_itself(attack: Attack) -> None:
    model = small()
    x, y = images(model, 12)
    x = (1.5 * x - 0.25).clamp(0, 1)  # black and white pixels
    with torch.no_grad():
        y = model(x).argmax(1)
    x_adv = attack(model, x, y)
    assert float(L1(3.0).distance(x_adv, x).amax()) <= 3.0 + L1(3.0).slack
    assert 0 <= float(x_adv.amin()) <= float(x_adv.amax()) <= 1
    assert torch.equal(attack(model, x, y), x_adv)
    with torch.no_grad():
        broken = int((model(x_adv).argmax(1) != y).sum())
    assert broken >= 8 or getattr(attack, "target", None)  # the next class may be out of reach


def exact_radius(w: Tensor, gap: Tensor, x: Tensor) -> Tensor:
    """Return the least L1 norm that takes a linear score of x (D,) down by `gap` in [0, 1]: steepest pixels first."""
    room = torch.where(w > 0, x, 1 - x)
    order = w.abs().sort(descending=True).indices
    gain, cost = (w.abs() * room)[order], room[order]
    before = gain.cumsum(dim=0) - gain
    return (((gap - before) / gain.clamp_min(1e-12)).clamp(0, 1) * cost).sum()


@pytest.mark.parametrize("name", ["pgd", "apgd"])
def test_linear_models_break_at_their_exact_radius_and_not_before(name: str) -> None:
    generator = torch.Generator().manual_seed(3)
    layer = nn.Linear(48, 2)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(2, 48, generator=generator))
        layer.bias.zero_()
    model = nn.Sequential(nn.Flatten(), layer)
    x = (torch.rand(40, 3, 4, 4, generator=generator) * 1.6 - 0.3).clamp(0, 1)
    with torch.no_grad():
        logits = model(x)
    y = logits.argmax(1)
    w = (layer.weight[0] - layer.weight[1]).detach()
    gap = logits[:, 0] - logits[:, 1]
    signed = torch.where(y == 0, 1.0, -1.0)
    radius = torch.stack(
        [exact_radius(w * s, g * s, each) for s, g, each in zip(signed, gap, x.flatten(1), strict=True)]
    )
    eps = float(radius.median())
    attack = APGD(eps, steps=100, norm="L1") if name == "apgd" else PGD(eps, 100, eps / 10, norm="L1")
    broken = ~attack.run(model, x, y).flags
    assert not bool(broken[radius > eps * 1.001].any())
    assert float(broken[radius < eps * 0.9].double().mean()) > 0.9


def test_auto_pgd_is_no_weaker_than_pgd_on_a_robust_network() -> None:
    model = checkpoint("cnn_a_adv")
    x, y = (part[:30] for part in checkpoint_images())
    pgd = PGD(5.0, steps=25, step_size=0.5, norm="L1").run(model, x, y)
    apgd = APGD(5.0, steps=25, norm="L1").run(model, x, y)
    assert apgd.robust_acc <= pgd.robust_acc < apgd.clean.double().mean()


def test_attacks_without_an_l1_form_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for attack in (FGSM, MIFGSM, FAB, Square, AutoAttack):
        with pytest.raises(ConfigError, match=r"norm: got 'L1'; expected Linf or L2 for .*pgd, apgd_ce"):
            attack(1.0, norm="L1")  # type: ignore[operator]
    for name in ("malt", "adaptive", "autoattack"):
        with pytest.raises(ConfigError, match="norm: got 'L1'"):
            parse_attacks(name, L1(2.0))
    assert Duo(2.0, norm="L1").attacks_in_order()[1].norm == "L1"
    with pytest.raises(ConfigError, match="sanity"):
        EvaluateConfig(norm="L1", eps=2.0, sanity=True)
    with pytest.raises(ConfigError, match="at most 1000"):
        L1(3060.0)
    assert str(L1(12.0)) == "L1, eps 12"
    data = ["--data.dataset", "digits", "--data.test-examples", "30", "--runs-dir", str(tmp_path), "--device", "cpu"]
    command = ["evaluate", "python:linear_digits:make", "--norm", "L1", "--eps", "1", *data]
    assert main([*command, "--attacks", "pgd20,square"]) == 2
    assert "norm: got 'L1'; expected Linf or L2 for square" in capsys.readouterr().err
    assert main([*command, "--attacks", "pgd20,apgd_ce"]) == 0
    assert "L1, eps 1, 30 images" in capsys.readouterr().out
    found = evaluate(make(), DataConfig("digits", test_examples=30).load(), attacks="pgd20", norm="L1", eps=1.0)
    assert found.robust_acc < found.clean_acc
