"""Attacks that work in rounds (restarts, target classes), each on the examples that are still correct."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from advrush.attacks.ensemble.random_streams import BatchStream, Group, RandomStream
from advrush.attacks.ensemble.runnable import Runnable
from advrush.attacks.gate import seeded_globally
from advrush.attacks.passes.chunks import predict
from advrush.attacks.passes.classes import largest, told
from advrush.attacks.passes.fast_model import FastModel, exact_model
from advrush.attacks.threat import Norm, threat_model
from advrush.modes import evaluating, frozen


class Staged(Runnable):
    """An attack in rounds: frozen dataclasses derive from it and say what one round does."""

    eps: float
    norm: Norm

    @abstractmethod
    def rounds(self, classes: int) -> int:
        """Return how many rounds there are for a model of so many classes."""

    @abstractmethod
    def attack_round(
        self, model: nn.Module, x: Tensor, y: Tensor, *, number: int, stream: RandomStream
    ) -> tuple[Tensor, Tensor]:
        """Return points (N, C, H, W), and True (N,) where they are adversarial and in the ball.

        The model is in eval mode and frozen; all examples are classified correctly.
        """

    def draws_noise(self, number: int) -> bool:
        """Return whether round `number` draws one random image for each example (Square draws as it goes)."""
        return True

    def attack_batch(
        self, model: nn.Module, x: Tensor, y: Tensor, *, generator: torch.Generator, targets: Tensor | None
    ) -> Tensor:
        """Return the examples after all rounds, each on those that no earlier round has broken; else x itself."""
        x_adv = x.detach().clone()
        with seeded_globally(x.device, self.seed):
            logits = predict(exact_model(model), x)
            if targets is None:
                left = (largest(logits) == y).nonzero().flatten()
            else:
                left = ((largest(logits) != targets) & (targets != y)).nonzero().flatten()
            for number in range(self.rounds(logits.shape[1])):
                if not len(left):
                    break
                stream = BatchStream((Group(generator, len(left), torch.arange(len(left))),))
                aim = {} if targets is None else {"targets": targets[left]}
                points, broken = self.verified_round(model, x[left], y[left], number=number, stream=stream, **aim)
                x_adv[left[broken]] = points[broken]
                left = left[~broken]
        return x_adv

    def verified_round(
        self,
        model: nn.Module,
        x: Tensor,
        y: Tensor,
        *,
        number: int,
        stream: RandomStream,
        targets: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return what `attack_round` does, with only those points that the exact model gets wrong when asked again.

        Examples that a `FastModel` alone got wrong are attacked once more, on the exact model. With `targets` (N,),
        which `attack_round` then must take, points count that the exact model takes for their targets.
        """

        def attack(model: nn.Module, rows: Tensor | slice, stream: RandomStream) -> tuple[Tensor, Tensor]:
            aim = {} if targets is None else {"targets": targets[rows]}
            own = x[rows]
            given = model.laid_out(own) if isinstance(model, FastModel) else own
            points, claimed = self.attack_round(model, given, y[rows], number=number, stream=stream, **aim)
            return torch.empty_like(own).copy_(points), claimed

        points, claimed = attack(model, slice(None), stream)
        exact = exact_model(model)
        broken = self._holding(exact, x, y, points, claimed, targets)
        lost = (claimed & ~broken).nonzero().flatten()
        if len(lost) and exact is not model:
            points[lost], again = attack(exact, lost, stream.again(lost))
            aim = None if targets is None else targets[lost]
            broken[lost] = self._holding(exact, x[lost], y[lost], points[lost], again, aim)
        return points, broken

    def _holding(
        self, exact: nn.Module, x: Tensor, y: Tensor, points: Tensor, claimed: Tensor, targets: Tensor | None
    ) -> Tensor:
        """Return True (N,) where a claimed point lies in the ball and the exact model gets it wrong."""
        rows = claimed.nonzero().flatten()
        if not len(rows):
            return torch.zeros_like(claimed)
        threat = threat_model(self.norm, self.eps)
        near = threat.distance(points[rows], x[rows]) <= self.eps + threat.slack
        found = told(exact, points[rows])
        wrong = found != y[rows] if targets is None else found == targets[rows]
        return torch.zeros_like(claimed).index_put_((rows,), near & wrong)


@contextmanager
def undisturbed(model: nn.Module, device: torch.device, seed: int) -> Iterator[None]:
    """Attack in eval mode with frozen parameters; what a random model draws is seeded, then undone."""
    with evaluating(model), frozen(model), seeded_globally(device, seed):
        yield
