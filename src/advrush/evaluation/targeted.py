"""The result of a targeted attack: how often it reached its target. It is no accuracy, and is told apart from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from advrush.attacks import Outcome
from advrush.evaluation.attack_cost import AttackCost
from advrush.evaluation.intervals import wilson


@dataclass
class TargetedOutcome(AttackCost):
    """Which examples were attacked towards a class, and which the network then takes for it."""

    target: str
    """The class aimed at: next, least-likely, given, or its number."""
    attacked: Tensor
    """(N,) bool: right without an attack, and not of the target's class."""
    reached: Tensor
    """(N,) bool: attacked, and taken for the target afterwards."""

    @classmethod
    def of(cls, outcome: Outcome, name: str) -> TargetedOutcome:
        """Return a targeted attack's outcome under the name that it has in an evaluation."""
        reached = outcome.clean & ~outcome.flags
        return cls(str(outcome.target), outcome.clean, reached, **cls.fields_of(outcome, name))

    @property
    def success_rate(self) -> float | None:
        """Return the fraction of the attacked examples that reached the target, None where none was attacked."""
        attacked = int(self.attacked.sum())
        return int(self.reached.sum()) / attacked if attacked else None

    def to_dict(self) -> dict[str, Any]:
        """Return rate, interval and cost as plain values."""
        attacked, reached = int(self.attacked.sum()), int(self.reached.sum())
        return {
            "name": self.name,
            "target": self.target,
            "targeted_success_rate": self.success_rate,
            "interval": list(wilson(reached, attacked)),
            "attacked": attacked,
            **self.cost_and_details(),
        }


def targeted_line(row: Mapping[str, Any]) -> str:
    """Return `TargetedOutcome.to_dict` in a line for people."""
    if row["targeted_success_rate"] is None:
        return f"{row['name']}: no image was attacked"
    low, high = row["interval"]
    return (
        f"{row['name']}: targeted success rate {row['targeted_success_rate']:.2%} [{low:.1%}, {high:.1%}] "
        f"of {row['attacked']:,} images"
    )
