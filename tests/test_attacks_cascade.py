"""AutoAttack as a cascade: its record, its resume, its order of random numbers, its checks."""

import io
import os
import signal
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from advrush.attacks import APGD, APGDT, FAB, AutoAttack, Duo, Ledger, Square, Staged
from advrush.attacks.ensemble.cascade import cascade
from advrush.attacks.ensemble.checks import square_gain, suspicions
from advrush.errors import ConfigError, RunError
from attack_models import BRACKETS, checkpoint, checkpoint_images, images, small
from processes import ended, started

EPS = 0.012
ATTACKS: tuple[Staged, ...] = (
    APGD(EPS, steps=4),
    APGDT(EPS, steps=6, targets=3, restarts=2),
    FAB(EPS, steps=5, targets=2, restarts=2),
    Square(EPS, queries=80),
)


def problem(count: int = 30) -> tuple[nn.Module, Tensor, Tensor]:
    model = small(seed=2)
    x, y = images(model, count)
    y = y.clone()
    y[4] = (y[4] + 1) % 10
    return model, x, y


def test_record_says_what_broke_what() -> None:
    model, x, y = problem()
    ledger = cascade(model, x, y, attacks=ATTACKS, batch_size=8, keep_examples=True)
    assert int(ledger.broken_by[4]) == -2
    assert len(set(ledger.broken_by.tolist())) >= 4, "an example for each of: wrong, unbroken, two attacks"
    assert ledger.x_adv is not None
    with torch.no_grad():
        fooled = model(ledger.x_adv).argmax(dim=1) != y
    assert torch.equal(fooled, ~ledger.flags())
    moved = (ledger.x_adv - x).flatten(1).abs().amax(1)
    assert torch.equal(moved > 0, ledger.broken_by >= 0)
    assert float(moved.max()) <= EPS + 1e-6


def test_outcome_is_that_of_the_attacks_one_by_one() -> None:
    model, x, y = problem()
    ledger = cascade(model, x, y, attacks=ATTACKS, batch_size=len(x))
    left = torch.arange(len(x))
    for attack in ATTACKS:
        with torch.no_grad():
            left = left[model(attack(model, x[left], y[left])).argmax(dim=1) == y[left]]
    assert torch.equal(ledger.flags().nonzero().flatten(), left)


@pytest.mark.parametrize("order", ["batch", "example"])
def test_resume_anywhere_changes_nothing(order: str) -> None:
    model, x, y = problem()
    files: list[bytes] = []

    def save(ledger: Ledger) -> None:
        buffer = io.BytesIO()
        torch.save(ledger.state_dict(), buffer)
        files.append(buffer.getvalue())

    whole = cascade(model, x, y, attacks=ATTACKS, batch_size=8, order=order, on_batch=save, keep_examples=True)  # type: ignore[arg-type]
    assert len(files) > 15
    for file in files[::3]:
        state = torch.load(io.BytesIO(file), weights_only=True)
        resumed = cascade(
            model,
            x,
            y,
            attacks=ATTACKS,
            batch_size=8,
            order=order,  # type: ignore[arg-type]
            ledger=Ledger.load(state, len(x), len(ATTACKS)),
        )
        for name in ("broken_by", "broken_in", "x_adv"):
            assert torch.equal(getattr(resumed, name), getattr(whole, name))


def attacked_up_to(attack: int, state: Path) -> None:
    """Attack, keep the state after each batch, and end at once when `attack` is reached."""

    def save(ledger: Ledger) -> None:
        torch.save(ledger.state_dict(), state)
        if int(ledger.position[0]) == attack:
            os.kill(os.getpid(), signal.SIGKILL)

    model, x, y = problem()
    cascade(model, x, y, attacks=ATTACKS, batch_size=8, on_batch=save)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL, which this operating system has not")
@pytest.mark.parametrize("attack", [1, 3], ids=["apgd_t", "square"])
def test_killed_run_resumes_to_the_same_flags(attack: int, tmp_path: Path) -> None:
    assert ended(started(attacked_up_to, attack, tmp_path / "state.pt")) == -signal.SIGKILL
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    assert int(state["position"][0]) == attack
    model, x, y = problem()
    resumed = cascade(model, x, y, attacks=ATTACKS, batch_size=8, ledger=Ledger.load(state, len(x), len(ATTACKS)))
    whole = cascade(model, x, y, attacks=ATTACKS, batch_size=8)
    assert torch.equal(resumed.broken_by, whole.broken_by)


def test_by_example_neither_batches_nor_shares_matter() -> None:
    model, x, y = problem()
    whole = cascade(model, x, y, attacks=ATTACKS, batch_size=30, order="example")
    small_batches = cascade(model, x, y, attacks=ATTACKS, batch_size=4, order="example")
    assert torch.equal(whole.broken_by, small_batches.broken_by)
    for share in (torch.arange(0, 30, 2), torch.arange(1, 30, 2)):
        part = cascade(model, x[share], y[share], attacks=ATTACKS, batch_size=5, order="example", indices=share)
        assert torch.equal(part.broken_by, whole.broken_by[share])


def test_state_of_another_run_is_refused() -> None:
    model, x, y = problem()
    state = cascade(model, x, y, attacks=ATTACKS[:1]).state_dict()
    with pytest.raises(RunError, match="1 attacks; expected 30 and 4"):
        Ledger.load(state, 30, 4)


def test_waterfall_falls_and_counts() -> None:
    model, x, y = problem()
    attack = AutoAttack(eps=0.03, version="custom", attacks=("apgd_ce", "apgd_t"))
    outcome = attack.run(model, x, y)
    rows = outcome.waterfall()
    assert [row["name"] for row in rows] == ["clean", "apgd_ce", "apgd_t"]
    assert rows[0]["robust_acc"] == pytest.approx(29 / 30)
    assert rows[-1]["robust_acc"] == outcome.robust_acc
    assert sum(row.get("broken", 0) for row in rows) + int(outcome.flags.sum()) == 29
    assert rows[1]["forwards"] >= rows[1]["backwards"] > 0
    assert outcome.broken_by()[4] == "clean"
    assert outcome.name == "apgd_ce+apgd_t"
    assert outcome.warnings() == ()


@pytest.mark.parametrize("classes", [2, 3, 5, 1000])
@pytest.mark.parametrize("channels", [1, 3])
def test_any_number_of_classes_and_channels(classes: int, channels: int) -> None:
    model = small(classes, channels, size=9)
    x, y = images(model, 4, channels, size=9)
    for attack in (APGDT(0.5, steps=20), FAB(0.5, steps=15, targets=9)):
        with torch.no_grad():
            assert not bool((model(attack(model, x, y)).argmax(dim=1) == y).any()), attack.name
    assert float((Square(0.1, queries=30)(model, x, y) - x).abs().max()) <= 0.1 + 1e-6
    assert APGDT().rounds(classes) == min(9, classes - 1)


def test_no_examples_are_no_problem() -> None:
    model, x, y = problem()
    assert len(AutoAttack().run(model, x[:0], y[:0]).flags) == 0
    wrong = AutoAttack().run(model, x[:3], (y[:3] + 1) % 10)
    assert wrong.robust_acc == 0


def test_versions_are_the_published_ones() -> None:
    plus = AutoAttack(version="plus").attacks_in_order()
    assert [a.name for a in plus] == ["apgd_ce", "apgd_dlr", "fab", "square", "apgd_t", "fab_t"]
    assert [getattr(a, "restarts", 1) for a in plus] == [5, 5, 5, 1, 1, 1]
    assert [getattr(a, "eot_iter", 0) for a in AutoAttack(version="rand").attacks_in_order()] == [20, 20]
    assert Duo().name == "apgd_duo"
    with pytest.raises(ConfigError, match="unknown attack 'aqgd'"):
        AutoAttack(version="custom", attacks=("aqgd",))
    with pytest.raises(ConfigError, match="attacks: got"):
        AutoAttack(attacks=("fab",))


class Noisy(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x + 0.1 * torch.randn_like(x))  # type: ignore[no-any-return]


class Adaptive(Noisy):
    def forward(self, x: Tensor) -> Tensor:
        with torch.enable_grad():
            x = x.detach().requires_grad_(True)
            (slope,) = torch.autograd.grad(self.model(x).amax(), x)
        return self.model(x.detach() + slope)  # type: ignore[no-any-return]


class Counting(Noisy):
    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.model(x)  # type: ignore[no-any-return]


class Saturated(Noisy):
    def forward(self, x: Tensor) -> Tensor:
        return self.model(x) * 1e4  # type: ignore[no-any-return]


def test_checks_find_what_they_look_for() -> None:
    model, x, y = problem(8)
    assert suspicions(model, x, y) == ()
    assert "random" in suspicions(Noisy(model), x, y)[0]
    assert suspicions(Noisy(model), x, y, random_expected=True) == ()
    assert "probabilities" in suspicions(nn.Sequential(model, nn.Softmax(dim=1)), x, y)[0]
    assert "differentiates" in suspicions(Adaptive(model), x, y)[0]
    assert "buffers" in suspicions(Counting(model), x, y)[0]
    assert "zero gradient" in suspicions(Saturated(model), x, y)[0]


def test_random_model_leaves_the_global_random_state() -> None:
    model, x, y = problem(6)
    attack = APGD(0.05, steps=3, eot_iter=4)
    before = torch.random.get_rng_state()
    first = attack(Noisy(model), x, y)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(attack(Noisy(model), x, y), first)


def test_square_after_gradient_attacks_is_a_warning() -> None:
    assert "broke 5.00% more" in square_gain({"clean": 0.9, "apgd_ce": 0.5, "square": 0.45})
    assert square_gain({"clean": 0.9, "apgd_ce": 0.5, "square": 0.499}) == ""
    assert square_gain({"clean": 0.9, "apgd_ce": 0.5}) == ""


@pytest.mark.parametrize("name", BRACKETS)
def test_proven_bracket(name: str) -> None:
    """A cheap cascade lies between what is proven and, within one image, what the strongest attack known found."""
    verified, upper = BRACKETS[name]
    model = checkpoint(name)
    x, y = checkpoint_images()
    attacks = (APGD(2 / 255, steps=20), APGDT(2 / 255, steps=25, targets=9))
    robust = float(cascade(model, x, y, attacks=attacks, batch_size=200).flags().double().mean())
    assert verified <= robust <= upper + 0.005
