"""The frame of every attack: how it is called on one batch, and `run`, which tells what it broke."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from advrush.attacks.attack import seeded
from advrush.attacks.ensemble.engine import run_from_state
from advrush.attacks.ensemble.result import Outcome
from advrush.attacks.ensemble.single import Batches
from advrush.attacks.gate import gated
from advrush.attacks.target import targets_of
from advrush.attacks.threat import per_example
from advrush.config import check
from advrush.modes import evaluating, frozen, weights_unchanged
from advrush.parallel import ALONE, Parallel


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
        with evaluating(model), frozen(model), weights_unchanged():
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
