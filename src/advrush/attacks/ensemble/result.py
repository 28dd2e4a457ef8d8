"""The result of an attack or of an ensemble of attacks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from advrush.attacks.ensemble.checks import square_gain
from advrush.attacks.ensemble.record import WRONG, Ledger
from advrush.config import check


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
    target: str | None = None
    """What a targeted attack aimed at (next, 3, given); None of an untargeted one."""

    @property
    def clean(self) -> Tensor:
        """Return True (N,) where the example is correct without an attack; of a targeted one, where it was attacked."""
        return self.ledger.broken_by != WRONG

    @property
    def flags(self) -> Tensor:
        """Return True (N,) where the example withstood every attack; of a targeted one, where it is not the target."""
        return self.ledger.flags()

    @property
    def robust_acc(self) -> float:
        """Return the fraction of all examples that withstood every attack.

        Raises ConfigError for a targeted attack: an example that is taken for a third class is no success of it.
        """
        check(self.target is None, "robust_acc", self.name, "success_rate: the attack is targeted")
        return float(self.flags.double().mean())

    @property
    def success_rate(self) -> float:
        """Return the fraction of the attacked examples that are taken for their target, or broken if it has none.

        Attacked is what is correct without an attack and is not of the target's class; NaN where nothing is.
        """
        attacked = int(self.clean.sum())
        return int((self.clean & ~self.flags).sum()) / attacked if attacked else float("nan")

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

    @property
    def norms(self) -> Tensor | None:
        """Return the smallest perturbations' norms (N,) of an attack that looks for them (`attacks.minimal_norm`).

        0 where the example is wrong without an attack, infinite where no perturbation was found.
        """
        return self.ledger.norms

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
