"""The frame of every attack: how it is called on one batch, and how it runs over examples, batch by batch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

import torch
from torch import Tensor, nn

from advrush.attacks.attack import Attack, seeded
from advrush.attacks.ensemble.checks import suspicions
from advrush.attacks.ensemble.engine import Plan, run_from_state
from advrush.attacks.ensemble.record import FOREIGN, UNBROKEN, WRONG, Ledger
from advrush.attacks.ensemble.result import Outcome
from advrush.attacks.gate import gated
from advrush.attacks.passes.fast_model import correct, exact_model
from advrush.attacks.passes.memory import within_memory
from advrush.attacks.target import targets_of
from advrush.attacks.threat import per_example
from advrush.config import check
from advrush.modes import evaluating, frozen
from advrush.parallel import ALONE, Parallel
from advrush.seeds import Purpose, derive_seed

SUSPECTED = 32
"""Examples on which the checks of `attacks.ensemble.checks` are made."""


class Runnable(ABC):
    """An attack: frozen dataclasses derive from it and say what they do to one batch.

    What all attacks have in common is here: calling it checks the inputs, sets the model's mode, finds the targets and
    the random numbers; `run` tells what was broken. A field `target` makes an attack that can be targeted.
    """

    seed: int

    @property
    @abstractmethod
    def name(self) -> str:
        """Name for tables and files."""

    @abstractmethod
    def attack_batch(
        self, model: nn.Module, x: Tensor, y: Tensor, *, generator: torch.Generator, targets: Tensor | None
    ) -> Tensor:
        """Return adversarial examples (N, C, H, W) in [0, 1] and in the ball.

        The model is in eval mode and frozen. With `targets` (N,) each example is to be taken for that class; only an
        attack with a field `target` is given some.
        """

    @gated
    def __call__(
        self,
        model: nn.Module,
        x: Tensor,
        y: Tensor,
        *,
        generator: torch.Generator | None = None,
        targets: Tensor | None = None,
    ) -> Tensor:
        """Return adversarial examples (N, C, H, W) of one batch.

        Random numbers come from `generator` if it is given, so that each batch of a training loop has its own, else
        from `seed`. With `targets` (N,) each example is to be taken for that class. Raises DataError for images,
        labels or targets, ModelContractError for the model, ConfigError for targets of an attack that takes none.
        """
        return self.perturb(model, x, y, generator=generator, targets=targets)

    def perturb(
        self,
        model: nn.Module,
        x: Tensor,
        y: Tensor,
        *,
        generator: torch.Generator | None = None,
        targets: Tensor | None = None,
    ) -> Tensor:
        """Return what calling the attack does, without checking images, labels and model: for training steps."""
        self._check_targets(targets)
        with evaluating(model), frozen(model):
            targets = targets_of(getattr(self, "target", None), targets, model, x, y)
            x_adv = self.attack_batch(model, x, y, generator=generator or seeded(self.seed), targets=targets)
        return x_adv if targets is None else torch.where(per_example(targets != y, x), x_adv, x)

    @gated
    def run(
        self,
        model: nn.Module,
        x: Tensor,
        y: Tensor,
        *,
        batch_size: int = 100,
        state: Mapping[str, Tensor] | None = None,
        on_batch: Callable[[dict[str, Tensor]], None] | None = None,
        keep_examples: bool = False,
        targets: Tensor | None = None,
        processes: Parallel = ALONE,
    ) -> Outcome:
        """Return what was broken, at which cost, and what speaks against it.

        Args:
            model: maps [0, 1] pixels (N, C, H, W) to logits (N, K), K >= 2.
            x: examples in [0, 1]; those that are right without an attack are attacked.
            y: labels (N,).
            batch_size: examples attacked together; a batch's seed is the attack's plus its first example's index.
            state: what `on_batch` was last given in an interrupted run on the same examples. RunError if it does not
                fit.
            on_batch: called after each batch with the state to save.
            keep_examples: whether the outcome (and the state) holds the adversarial examples of what was broken.
            targets: the class (N,) that each example is to be taken for; the outcome then tells a targeted success
                rate. ConfigError where the attack takes no target.
            processes: the processes among which the examples are shared; each has all of x and y.
        """
        self._check_targets(targets)
        plan = Batches(self, batch_size, targets=targets)
        return run_from_state(
            plan, model, x, y, state=state, on_batch=on_batch, keep_examples=keep_examples, processes=processes
        )

    def _check_targets(self, targets: Tensor | None) -> None:
        check(targets is None or hasattr(self, "target"), "targets", type(self).__name__, "FGSM, PGD or APGD")


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
