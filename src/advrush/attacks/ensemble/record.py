"""The record of a run of attacks: which attack broke which example, and where to resume."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from advrush.errors import RunError

FOREIGN = -3
"""Attacked by another process."""
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
    """(N,) int16: number of the attack that broke the example, UNBROKEN, WRONG or FOREIGN."""
    broken_in: Tensor
    """(N,) int16: number of that attack's round."""
    position: Tensor
    """(3,) int64: attack, round, and how many of this round's rows are done."""
    passes: Tensor
    """(attacks, 3) float64: seconds, and examples passed forward and backward."""
    x_adv: Tensor | None = None
    """(N, C, H, W): adversarial examples, the originals where there is none; kept if asked for."""
    norms: Tensor | None = None
    """(N,) float64, of attacks that look for them: norm of the smallest perturbation found, 0 where the example is
    wrong without one, infinite where none was found (yet)."""

    @staticmethod
    def begin(broken_by: Tensor, attacks: int, x: Tensor | None, *, norms: bool = False) -> Ledger:
        """Return the record of a cascade in which no attack has run yet: WRONG, UNBROKEN or FOREIGN is all."""
        return Ledger(
            broken_by,
            torch.zeros_like(broken_by),
            torch.zeros(3, dtype=torch.int64),
            torch.zeros(attacks, 3, dtype=torch.float64),
            None if x is None else x.detach().cpu().clone(),
            torch.where(broken_by == WRONG, 0.0, torch.inf).double() if norms else None,
        )

    @staticmethod
    def join(ledgers: Sequence[Ledger], clean: Tensor) -> Ledger:
        """Return the record of a whole run from the finished ones of its shares, each with examples of its own.

        `clean` (N,) says which examples are right without an attack. A share in which nothing was to be attacked may
        be missing. Raises RunError where an example that is right was attacked by none.
        """
        first = ledgers[0]
        broken_by = torch.stack([each.broken_by for each in ledgers]).amax(dim=0)
        if bool((clean & (broken_by == FOREIGN)).any()):
            raise RunError("the shares of this attack do not cover all examples; begin it anew")
        broken_by[broken_by == FOREIGN] = WRONG
        spent = torch.stack([each.passes for each in ledgers])
        passes = torch.cat([spent[..., :1].amax(dim=0), spent[..., 1:].sum(dim=0)], dim=1)
        norms = None
        if first.norms is not None:
            norms = torch.stack([each.norms for each in ledgers if each.norms is not None]).amin(dim=0)
            norms[broken_by == WRONG] = 0.0
        broken_in = torch.stack([each.broken_in for each in ledgers]).amax(dim=0)
        end = torch.tensor([len(passes), 0, 0])
        return Ledger(broken_by, broken_in, end, passes, norms=norms)

    def alive(self, attack: int, number: int) -> Tensor:
        """Return the rows (n,) that are unbroken when round `number` of `attack` begins."""
        later = (self.broken_by > attack) | ((self.broken_by == attack) & (self.broken_in >= number))
        return ((self.broken_by == UNBROKEN) | later).nonzero().flatten()

    def record(self, attack: int, number: int, rows: Tensor, points: Tensor | None = None) -> None:
        """Note that a round broke these rows."""
        self.broken_by[rows], self.broken_in[rows] = attack, number
        if self.x_adv is not None and points is not None:
            self.x_adv[rows] = points.detach().to(self.x_adv)

    def copy(self) -> Ledger:
        """Return a record that later batches leave as it is."""
        return Ledger(**self.state_dict())

    def flags(self, attack: int | None = None) -> Tensor:
        """Return True (N,) where the example is correct after `attack` (by default after all)."""
        last = self.passes.shape[0] if attack is None else attack
        return (self.broken_by == UNBROKEN) | (self.broken_by > last)

    def state_dict(self) -> dict[str, Tensor]:
        """Return the record as tensors; `torch.load(weights_only=True)` reads them back."""
        return {name: value.clone() for name, value in vars(self).items() if value is not None}

    @staticmethod
    def load(state: object, examples: int, attacks: int | None = None) -> Ledger:
        """Return the record that `state_dict` gave.

        Raises RunError where it is none, or one of other examples or of another number of attacks (if that is given).
        """
        names = {field.name for field in fields(Ledger)}
        tensors = isinstance(state, Mapping) and all(isinstance(value, Tensor) for value in state.values())
        if not tensors or not isinstance(state, Mapping) or not names - {"x_adv", "norms"} <= set(state) <= names:
            raise RunError("not the state of an attack; expected what `on_batch` gave")
        ledger = Ledger(**{name: value.clone() for name, value in state.items()})
        ledger.check(examples, attacks)
        return ledger

    def check(self, examples: int, attacks: int | None = None) -> None:
        """Raise RunError unless this is a record of so many examples and attacks."""
        count = len(self.passes) if attacks is None else attacks
        if (found := (len(self.broken_by), len(self.passes))) != (examples, count):
            raise RunError(f"state of {found[0]} examples and {found[1]} attacks; expected {examples} and {count}")
        shapes = [
            (self.broken_by, torch.int16, (examples,)),
            (self.broken_in, torch.int16, (examples,)),
            (self.position, torch.int64, (3,)),
            (self.passes, torch.float64, (count, 3)),
        ]
        if self.norms is not None:
            shapes.append((self.norms, torch.float64, (examples,)))
        sound = all(value.dtype == dtype and value.shape == shape for value, dtype, shape in shapes)
        inside = sound and bool(((self.broken_by >= FOREIGN) & (self.broken_by < count)).all())
        places = inside and bool((self.broken_in >= 0).all() and (self.position >= 0).all())
        if not places or (self.x_adv is not None and len(self.x_adv) != examples):
            raise RunError("the state of an attack is damaged; begin it anew")
