"""The way of an attack by itself through the examples: batch by batch, with a seed for each batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

import torch
from torch import Tensor, nn

from advrush.attacks.attack import Attack
from advrush.attacks.ensemble.checks import suspicions
from advrush.attacks.ensemble.engine import Plan
from advrush.attacks.ensemble.record import FOREIGN, UNBROKEN, WRONG, Ledger
from advrush.attacks.passes.fast_model import correct, exact_model
from advrush.attacks.passes.memory import within_memory
from advrush.attacks.target import targets_of
from advrush.config import check
from advrush.modes import evaluating, frozen
from advrush.parallel import Parallel
from advrush.seeds import Purpose, derive_seed

SUSPECTED = 32
"""Examples on which the checks of `attacks.ensemble.checks` are made."""


@dataclass(frozen=True)
class Batches:
    """The way of an attack by itself: one round, in batches of what is right without it."""

    attack_value: Attack
    batch_size: int
    single: bool = True
    targets: Tensor | None = None
    """The class (N,) that each example is to be taken for, where the attack does not say it for all."""

    def __post_init__(self) -> None:
        check(self.batch_size >= 1, "batch_size", self.batch_size, "a whole number >= 1")

    @property
    def name(self) -> str:
        """Return the attack's name."""
        return self.attack_value.name + ("" if self.targets is None else "_to_given")

    @property
    def target(self) -> str | None:
        """Return what a targeted attack aims at, None of an untargeted one."""
        if self.targets is not None:
            return "given"
        value = getattr(self.attack_value, "target", None)
        return None if value is None else str(value)

    @property
    def measures_norms(self) -> bool:
        """Return whether the attack looks for the smallest perturbation of each example."""
        return hasattr(self.attack_value, "smallest")

    @property
    def members(self) -> tuple[str, ...]:
        """Return the attack's name alone."""
        return (self.name,)

    @contextmanager
    def within(self, model: nn.Module, device: torch.device) -> Iterator[None]:
        """Attack in eval mode with frozen parameters."""
        with evaluating(model), frozen(model):
            yield

    def suspicions(self, model: nn.Module, x: Tensor, y: Tensor) -> tuple[str, ...]:
        """Return what is odd about the model on the first examples."""
        with self.within(model, x.device):
            return suspicions(exact_model(model), x[:SUSPECTED], y[:SUSPECTED])

    def begin(self, model: nn.Module, x: Tensor, y: Tensor, *, clean: Tensor | None, processes: Parallel) -> Tensor:
        """Return where each example stands: every world-th batch of what is right is this process's."""
        if clean is None:
            places = torch.arange(len(x)).split(self.batch_size) if len(x) else ()  # type: ignore[no-untyped-call]
            parts = [within_memory(partial(correct, model, x[r], y[r]), len(r)).cpu() for r in places]
            clean = torch.cat([torch.zeros(0, dtype=torch.bool), *parts])
        clean = clean.cpu()
        if self.targets is None and isinstance(number := getattr(self.attack_value, "target", None), int):
            clean = clean & (y.cpu() != number)
        start = torch.where(clean, UNBROKEN, WRONG).to(torch.int16)
        rows = clean.nonzero().flatten()
        others = torch.arange(len(rows)) // self.batch_size % processes.world != processes.rank
        start[rows[others]] = FOREIGN
        return start

    def rounds(self, model: nn.Module, x: Tensor) -> tuple[int, ...]:
        """Return one round: restarts are the attack's own affair."""
        return (1,)

    def attack(
        self, model: nn.Module, x: Tensor, y: Tensor, *, member: int, number: int, rows: Tensor, ledger: Ledger
    ) -> tuple[Tensor, Tensor]:
        """Return the attack's points, and True (n,) where the exact model is wrong, or takes them for their targets."""
        attack = _seeded(self.attack_value, rows)
        if ledger.norms is not None:
            points, norms = attack.smallest(model, x, y)  # type: ignore[attr-defined]  # `measures_norms` has seen it
            ledger.norms[rows] = norms.to(ledger.norms)
            return points, norms <= attack.eps  # type: ignore[attr-defined]
        given = None if self.targets is None else self.targets[rows.to(self.targets.device)].to(y.device)
        targets = targets_of(getattr(attack, "target", None), given, model, x, y)
        if targets is None:
            points = attack(model, x, y)
            return points, ~correct(model, points, y)
        points = attack(model, x, y, targets=targets)  # type: ignore[call-arg]  # those with targets take them
        return points, correct(model, points, targets)


def plan_of(attack: Attack, batch_size: int) -> Plan:
    """Return an ensemble's own way through the examples, or for any other attack that in batches of `batch_size`."""
    own: Callable[[], Plan] | None = getattr(attack, "plan", None)
    return Batches(attack, batch_size) if own is None else own()


def seeded_batches(attack: Attack, rows: Tensor, batch_size: int) -> Iterator[tuple[Tensor, Attack]]:
    """Yield the rows of each batch and the attack with a seed of the batch's own, so that any batch can be repeated."""
    for start in range(0, len(rows), batch_size):
        batch = rows[start : start + batch_size]
        yield batch, _seeded(attack, batch)


def own_batches(
    attack: Attack, rows: Tensor, batch_size: int, *, processes: Parallel
) -> Iterator[tuple[Tensor, Attack]]:
    """Yield those of `seeded_batches` that are this process's: every world-th."""
    return islice(seeded_batches(attack, rows, batch_size), processes.rank, None, processes.world)


def _seeded(attack: Attack, rows: Tensor) -> Attack:
    seed = derive_seed(Purpose.ATTACK_BATCH, attack.seed, int(rows[0]))
    return replace(attack, seed=seed)  # type: ignore[type-var]  # attacks are dataclasses
