"""Which attack broke which example, and how far a cascade has come: all that a resume needs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from advrush.errors import RunError

WRONG = -2
"""Misclassified without an attack."""
UNBROKEN = -1


@dataclass
class Ledger:
    """The record of a cascade over N examples, on the CPU.

    Since each round attacks the examples that no earlier round has broken, in order, the rows of any batch of any
    round follow from it, and with them every random number: no generator's state has to be kept.
    """

    broken_by: Tensor
    """(N,) int16: number of the attack that broke the example, UNBROKEN or WRONG."""
    broken_in: Tensor
    """(N,) int16: number of that attack's round."""
    position: Tensor
    """(3,) int64: attack, round, and how many of this round's rows are done."""
    passes: Tensor
    """(attacks, 3) float64: seconds, and examples passed forward and backward."""
    x_adv: Tensor | None = None
    """(N, C, H, W): adversarial examples, the originals where there is none; kept if asked for."""

    @staticmethod
    def begin(correct: Tensor, attacks: int, x: Tensor | None) -> Ledger:
        """Return the record of a cascade in which no attack has run yet."""
        broken_by = torch.where(correct.cpu(), UNBROKEN, WRONG).to(torch.int16)
        return Ledger(
            broken_by,
            torch.zeros_like(broken_by),
            torch.zeros(3, dtype=torch.int64),
            torch.zeros(attacks, 3, dtype=torch.float64),
            None if x is None else x.detach().cpu().clone(),
        )

    def alive(self, attack: int, number: int) -> Tensor:
        """Return the rows (n,) that are unbroken when round `number` of `attack` begins."""
        later = (self.broken_by > attack) | ((self.broken_by == attack) & (self.broken_in >= number))
        return ((self.broken_by == UNBROKEN) | later).nonzero().flatten()

    def record(self, attack: int, number: int, rows: Tensor, points: Tensor | None = None) -> None:
        """Note that a round broke these rows."""
        self.broken_by[rows], self.broken_in[rows] = attack, number
        if self.x_adv is not None and points is not None:
            self.x_adv[rows] = points.detach().to(self.x_adv)

    def flags(self, attack: int | None = None) -> Tensor:
        """Return True (N,) where the example is correct after `attack` (by default after all)."""
        last = self.passes.shape[0] if attack is None else attack
        return (self.broken_by == UNBROKEN) | (self.broken_by > last)

    def state_dict(self) -> dict[str, Tensor]:
        """Return the record as tensors; `torch.load(weights_only=True)` reads them back."""
        return {name: value.clone() for name, value in vars(self).items() if value is not None}

    @staticmethod
    def load(state: dict[str, Tensor], examples: int, attacks: int) -> Ledger:
        """Return the record that `state_dict` gave; RunError where it is of other examples or attacks."""
        ledger = Ledger(**{name: value.clone() for name, value in state.items()})
        found = (len(ledger.broken_by), len(ledger.passes))
        if found != (examples, attacks):
            raise RunError(f"state of {found[0]} examples and {found[1]} attacks; expected {examples} and {attacks}")
        return ledger
