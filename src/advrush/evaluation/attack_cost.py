"""The cost of an attack in an evaluation: name, time, passes, warnings, examples."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from advrush.attacks import Outcome


@dataclass(kw_only=True)
class AttackCost:
    """The part that targeted and untargeted attacks have in common."""

    name: str
    seconds: float = 0.0
    forwards: int = 0
    """Examples passed forward."""
    backwards: int = 0
    """Examples passed backward."""
    details: dict[str, Any] = field(default_factory=dict)
    """What stands in the result besides: warnings that speak against it, the waterfall of an ensemble."""
    x_adv: Tensor | None = field(default=None, repr=False)
    """(N, C, H, W): the adversarial examples, the example itself where there is none; None unless asked for."""

    @staticmethod
    def fields_of(outcome: Outcome, name: str) -> dict[str, Any]:
        """Return these fields of an attack's outcome, which an evaluation calls `name`."""
        warnings = list(outcome.warnings())
        return {
            "name": name,
            "seconds": outcome.seconds,
            "forwards": outcome.forwards,
            "backwards": outcome.backwards,
            "details": {"warnings": warnings} if warnings else {},
            "x_adv": outcome.x_adv,
        }

    def cost_and_details(self) -> dict[str, Any]:
        """Return time, passes and details as plain values."""
        spent = {"seconds": round(self.seconds, 3), "forwards": self.forwards, "backwards": self.backwards}
        return spent | self.details
