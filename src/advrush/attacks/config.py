"""The parts of configurations that describe an attack: its threat model, and the steps of PGD."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from advrush.attacks.pgd import PGD
from advrush.attacks.threat import ThreatModel, threat_model
from advrush.config import check, check_radius


@dataclass(frozen=True)
class ThreatConfig:
    """The ball in which images may be moved."""

    norm: Literal["Linf", "L2", "L1"] = "Linf"
    """Norm of the threat model; L1 for pgd and apgd alone, deepfool and cw_l2 take L2."""
    eps: float = 0.031
    """Radius of the ball, in [0, 1] pixel units (the paper's 0.031 is 7.9/255)."""

    def __post_init__(self) -> None:
        check_radius("eps", self.eps, norm=self.norm)
        usual = 12 if self.norm == "L1" else 0.5
        expected = f"the radius of an {self.norm} ball, as {usual} ({self.eps:g} is Linf's default)"
        check(self.norm == "Linf" or self.eps != ThreatConfig.eps, "eps", self.eps, expected)

    @property
    def threat(self) -> ThreatModel:
        """Return the threat model."""
        return threat_model(self.norm, self.eps)


@dataclass(frozen=True)
class PGDConfig:
    """PGD in the Linf ball, as a part of a configuration, in which it has the name `PART`."""

    PART: ClassVar[str]

    eps: float = 0.031
    """Radius of the Linf ball, in [0, 1] pixel units."""
    steps: int = 7
    """Gradient steps."""
    step_size: float = 0.01
    """Length of a step, in [0, 1] pixel units."""

    def __post_init__(self) -> None:
        check_radius(f"{self.PART}.eps", self.eps)
        check(self.steps >= 1, f"{self.PART}.steps", self.steps, "a whole number >= 1")
        check_radius(f"{self.PART}.step_size", self.step_size)

    def pgd(self, **options: Any) -> PGD:
        """Return the attack; `options` are further fields of it, or others in place of these."""
        return PGD(**{"eps": self.eps, "steps": self.steps, "step_size": self.step_size} | options)
