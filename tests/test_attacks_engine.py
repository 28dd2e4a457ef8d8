"""Every attack tells what it broke, at which cost, resumes, and is shared among processes, in one way."""

from __future__ import annotations

import copy
import io
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from advrush.attacks import APGD, FAB, FGSM, MIFGSM, PGD, Attack, AutoAttack, Ledger, Outcome, Square
from advrush.attacks.ensemble.engine import run_plan
from advrush.attacks.ensemble.single import plan_of
from advrush.attacks.passes.counting import counting
from advrush.errors import ConfigError, RunError
from advrush.parallel import ALONE, Parallel
from attack_models import images, small

EPS = 0.02
ATTACKS: list[Any] = [
    FGSM(EPS),
    PGD(EPS, steps=3, step_size=0.01),
    PGD(EPS, steps=2, step_size=0.01, restarts=3),
    MIFGSM(EPS, steps=3),
    APGD(EPS, steps=4),
    FAB(EPS, steps=4),
    Square(EPS, queries=20),
    AutoAttack(EPS, version="custom", attacks=("apgd_ce", "apgd_t"), batch_size=8, order="example"),
]
each_attack = pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)


def problem(count: int = 22) -> tuple[nn.Module, Tensor, Tensor]:
    model = small(seed=2)
    x, y = images(model, count)
    y = y.clone()
    y[4] = (y[4] + 1) % 10
    return model, x, y


def options(attack: Any) -> dict[str, int]:
    return {} if isinstance(attack, AutoAttack) else {"batch_size": 8}


@each_attack
def test_outcome_tells_what_was_broken_and_the_points_say_the_same(attack: Any) -> None:
    model, x, y = problem()
    outcome = attack.run(model, x, y, keep_examples=True, **options(attack))
    assert outcome.x_adv is not None
    with torch.no_grad():
        assert torch.equal(outcome.flags, model(outcome.x_adv).argmax(1) == y)
    assert float((outcome.x_adv - x).abs().max()) <= EPS + 1e-6
    assert outcome.broken_by()[4] == "clean"
    assert [number is None for number in outcome.broken_in()] == [by in ("", "clean") for by in outcome.broken_by()]
    assert set(outcome.broken_by()) <= {"", "clean", *outcome.attacks}
    assert 0 < int(outcome.flags.sum()) < 21, "something is broken and something is left"
    assert outcome.warnings() == ()
    assert outcome.seconds > 0


@each_attack
def test_passes_are_counted(attack: Any) -> None:
    model, x, y = problem()
    with counting(model) as passes:
        outcome = attack.run(model, x, y, **options(attack))
    assert 0 < outcome.forwards <= passes.forwards  # those that look at the model beforehand belong to no attack
    assert outcome.backwards == 0 if attack.name == "square" else 0 < outcome.backwards <= passes.backwards


@each_attack
def test_an_interrupted_run_goes_on_from_its_last_batch(attack: Any) -> None:
    model, x, y = problem()
    whole = attack.run(model, x, y, keep_examples=True, **options(attack))
    files: list[bytes] = []

    def save(state: dict[str, Tensor]) -> None:
        buffer = io.BytesIO()
        torch.save(state, buffer)
        files.append(buffer.getvalue())
        if len(files) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        attack.run(model, x, y, keep_examples=True, on_batch=save, **options(attack))
    state = torch.load(io.BytesIO(files[-1]), weights_only=True)
    calls: list[object] = []
    resumed = attack.run(model, x, y, state=state, on_batch=calls.append, **options(attack))
    assert calls, "something was left to do"
    assert resumed.broken_by() == whole.broken_by()
    assert torch.equal(resumed.x_adv, whole.x_adv)
    assert (resumed.forwards, resumed.backwards) == (whole.forwards, whole.backwards), "the cost of both parts"


@dataclass(frozen=True)
class Half(Parallel):
    """One of two processes; `other` is what it hears of the second."""

    heard: dict[str, list[Tensor]] | None = None

    def maximum(self, tensor: Tensor) -> Tensor:
        return self._with_other("maximum", tensor, torch.maximum)

    def sum(self, tensor: Tensor) -> Tensor:
        return self._with_other("sum", tensor, torch.add)

    def _with_other(self, kind: str, tensor: Tensor, combine: Any) -> Tensor:
        assert self.heard is not None
        said = self.heard.setdefault(kind, [])
        if self.rank == 1:
            said.append(tensor.clone())
            return tensor
        result: Tensor = combine(tensor, said.pop(0))
        return result


@each_attack
def test_two_processes_find_what_one_does(attack: Any) -> None:
    model, x, y = problem()
    whole = run_plan(plan_of(attack, 8), model, x, y)
    heard: dict[str, list[Tensor]] = {}
    second = Half(1, 2, torch.device("cpu"), heard)
    with pytest.raises(AssertionError, match="no process has"):  # it hears nothing of the first one here
        run_plan(plan_of(attack, 8), model, x, y, processes=second)
    both = run_plan(plan_of(attack, 8), model, x, y, processes=replace(second, rank=0))
    assert both.broken_by() == whole.broken_by()
    if not isinstance(attack, AutoAttack):  # a share of an ensemble's examples makes other batches
        assert (both.forwards, both.backwards) == (whole.forwards, whole.backwards)


def test_a_batch_has_the_seed_of_its_first_example() -> None:
    model, x, y = problem()
    attack = PGD(EPS, steps=1, step_size=0.001, seed=5)
    outcome = attack.run(model, x, y, batch_size=8, keep_examples=True)
    right = (torch.arange(22) != 4).nonzero().flatten()
    for rows in right.split(8):
        x_adv = replace(attack, seed=5 + int(rows[0]))(model, x[rows], y[rows])
        with torch.no_grad():
            broken = model(x_adv).argmax(1) != y[rows]
        assert torch.equal(outcome.flags[rows], ~broken)
        assert torch.equal(outcome.x_adv[rows[broken]], x_adv[broken])  # type: ignore[index]


@dataclass(frozen=True)
class Shift:
    """An attack of one's own, which derives from nothing."""

    seed: int = 0
    name: str = "shift"

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        return 1 - x


def test_an_attack_of_ones_own_needs_no_base_class() -> None:
    model, x, y = problem()
    assert isinstance(Shift(), Attack)
    outcome = run_plan(plan_of(Shift(), 8), model, x, y, processes=ALONE)
    with torch.no_grad():
        assert torch.equal(outcome.flags, (model(x).argmax(1) == y) & (model(1 - x).argmax(1) == y))
    assert outcome.attacks == ("shift",)


def test_no_examples_are_no_problem() -> None:
    model, x, y = problem()
    for attack in ATTACKS:
        assert len(attack.run(model, x[:0], y[:0]).flags) == 0


def test_a_state_that_does_not_fit_is_refused() -> None:
    model, x, y = problem()
    states: list[dict[str, Tensor]] = []
    PGD(EPS, steps=1).run(model, x, y, on_batch=states.append)
    with pytest.raises(RunError, match="state of 22 examples"):
        PGD(EPS, steps=1).run(model, x[:3], y[:3], state=states[0])
    with pytest.raises(RunError, match="expected what `on_batch` gave"):
        PGD(EPS, steps=1).run(model, x, y, state={"weights": x})
    with pytest.raises(ConfigError, match="batch_size"):
        PGD(EPS, steps=1).run(model, x, y, batch_size=0)


@pytest.mark.parametrize("attack", [PGD(EPS, steps=1), AutoAttack(EPS, version="custom", attacks=("apgd_ce",))])
def test_a_state_is_of_its_attack_its_examples_and_its_network(attack: Any) -> None:
    model, x, y = problem()
    states: list[dict[str, Tensor]] = []
    outcome = attack.run(model, x, y, on_batch=states.append)
    assert torch.equal(attack.run(model, x, y, state=states[-1]).flags, outcome.flags)
    other, changed = copy.deepcopy(model), y.clone()
    changed[0] = (changed[0] + 1) % 2
    with torch.no_grad():
        next(other.parameters()).mul_(1.1)
    for call, message in (
        (lambda: replace(attack, eps=EPS / 2).run(model, x, y, state=states[-1]), "other settings"),
        (lambda: replace(attack, seed=1).run(model, x, y, state=states[-1]), "other settings"),
        (lambda: attack.run(model, 1 - x, y, state=states[-1]), "other images or labels"),
        (lambda: attack.run(model, x, changed, state=states[-1]), "other images or labels"),
        (lambda: attack.run(other, x, y, state=states[-1]), "another network"),
        (lambda: attack.run(model, x, y, state="state.pt"), "expected what `on_batch` gave"),
        (lambda: attack.run(model, x, y, state={}), "expected what `on_batch` gave"),
    ):
        with pytest.raises(RunError, match=message):
            call()


def test_the_round_that_broke_an_example_is_told() -> None:
    ledger = Ledger.begin(torch.tensor([-1, -2, -1, -1, -1], dtype=torch.int16), 2, None)
    ledger.record(0, 3, torch.tensor([2]))
    ledger.record(1, 0, torch.tensor([4]))
    outcome = Outcome("two", ("one", "other"), ledger)
    assert outcome.broken_in() == [None, None, 3, None, 0]
    assert outcome.broken_by() == ["", "clean", "one", "", "other"]
