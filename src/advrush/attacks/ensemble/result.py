"""The result of an attack or of an ensemble of attacks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from advrush.attacks.ensemble.checks import square_gain
from advrush.attacks.ensemble.record import WRONG, Ledger


@dataclass(frozen=True)
class Outcome:
    """The record of an attack on N examples, with the names of the attacks that it is made of."""

    name: str
    attacks: tuple[str, ...]
    ledger: Ledger
    suspicions: tuple[str, ...] = ()
    """Sentences on why the result may not be trusted; empty where all is well."""
    single: bool = False
    """Whether it is one attack by itself, not an ensemble."""

    @property
    def clean(self) -> Tensor:
        """Return True (N,) where the example is correct without an attack."""
        return self.ledger.broken_by != WRONG

    @property
    def flags(self) -> Tensor:
        """Return True (N,) where the example withstood every attack."""
        return self.ledger.flags()

    @property
    def robust_acc(self) -> float:
        """Return the fraction of all examples that withstood every attack."""
        return float(self.flags.double().mean())

    @property
    def seconds(self) -> float:
        """Return the time that the attacks took; of several processes the longest."""
        return float(self.ledger.passes[:, 0].sum())

    @property
    def forwards(self) -> int:
        """Return the number of examples passed forward."""
        return int(self.ledger.passes[:, 1].sum())

    @property
    def backwards(self) -> int:
        """Return the number of examples passed backward."""
        return int(self.ledger.passes[:, 2].sum())

    @property
    def x_adv(self) -> Tensor | None:
        """Return the adversarial examples (N, C, H, W) where they were kept, originals where there is none."""
        return self.ledger.x_adv

    def broken_by(self) -> list[str]:
        """Return for each example the name of the attack that broke it, "clean" if wrong without one, or ""."""
        names = dict(enumerate(self.attacks)) | {WRONG: "clean"}
        return [names.get(int(number), "") for number in self.ledger.broken_by]

    def broken_in(self) -> list[int | None]:
        """Return for each example the round (restart or target class, from 0) of the attack that broke it, or None.

        A single attack has one round.
        """
        pairs = zip(self.ledger.broken_by.tolist(), self.ledger.broken_in.tolist(), strict=True)
        return [number if member >= 0 else None for member, number in pairs]

    def waterfall(self) -> list[dict[str, Any]]:
        """Return a row for `clean` and each attack: accuracy left, examples broken, seconds and passes spent."""
        rows: list[dict[str, Any]] = [{"name": "clean", "robust_acc": float(self.clean.double().mean())}]
        for number, name in enumerate(self.attacks):
            seconds, forwards, backwards = self.ledger.passes[number].tolist()
            rows.append(
                {
                    "name": name,
                    "robust_acc": float(self.ledger.flags(number).double().mean()),
                    "broken": int((self.ledger.broken_by == number).sum()),
                    "seconds": round(seconds, 3),
                    "forwards": int(forwards),
                    "backwards": int(backwards),
                }
            )
        return rows

    def warnings(self) -> tuple[str, ...]:
        """Return the suspicions found before and after the attacks."""
        gain = square_gain({row["name"]: row["robust_acc"] for row in self.waterfall()})
        return (*self.suspicions, gain) if gain else self.suspicions
