"""Auto-PGD (Croce and Hein, ICML 2020): steepest ascent with momentum that halves its step where it stalls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from advrush.attacks.apgd_ascent import run_apgd
from advrush.attacks.ensemble.random_streams import RandomStream
from advrush.attacks.ensemble.rounds import Staged
from advrush.attacks.losses import ESTIMATES, LOSSES, targeted_dlr
from advrush.attacks.passes.chunks import predict
from advrush.attacks.target import TOWARDS, Target, check_target, pairs, target_suffix
from advrush.attacks.threat import Norm, threat_model
from advrush.config import check


@dataclass(frozen=True)
class APGD(Staged):
    """Auto-PGD on the cross-entropy or the difference-of-logits ratio."""

    eps: float = 0.031
    """Radius of the ball, in [0, 1] pixel units."""
    steps: int = 100
    """Gradient steps."""
    restarts: int = 1
    """Random starts; later ones attack the examples that are still correct."""
    loss: Literal["ce", "dlr", "pma"] = "ce"
    """Cross-entropy, the difference-of-logits ratio, or the margin of probabilities (an estimate, named so)."""
    eot_iter: int = 1
    """Gradients averaged at each step, for models with randomness (expectation over transformation)."""
    norm: Norm = "Linf"
    """Norm of the ball."""
    seed: int = 0
    """Seed of the random starts."""
    target: Target | None = None
    """The class that examples are to be taken for: least-likely, next or a number; None for any other than theirs."""

    def __post_init__(self) -> None:
        _check(self)
        check_target(self.target)
        check(self.loss in ("ce", "dlr", "pma"), "loss", self.loss, "ce, dlr or pma")

    @property
    def name(self) -> str:
        """Name for tables and files."""
        return f"apgd_{self.loss}" + ("_estimate" if self.is_estimate else "") + target_suffix(self.target)

    @property
    def is_estimate(self) -> bool:
        """Return whether the loss makes this an estimate of AutoAttack's outcome."""
        return self.loss in ESTIMATES

    def rounds(self, classes: int) -> int:
        """Return the number of restarts."""
        return self.restarts

    def attack_round(
        self,
        model: nn.Module,
        x: Tensor,
        y: Tensor,
        *,
        number: int,
        stream: RandomStream,
        targets: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return adversarial examples and which are broken (are taken for `targets`), from one random start."""
        if targets is not None:
            towards, goal = TOWARDS[self.loss], pairs(y, targets)

            def value(logits: Tensor, rows: Tensor) -> Tensor:
                return towards(logits, goal[rows])

            return run_apgd(model, x, y, stream=stream, attack=self, value=value, targets=targets)
        loss = LOSSES[self.loss]
        return run_apgd(model, x, y, stream=stream, attack=self, value=lambda logits, rows: loss(logits, y[rows]))


@dataclass(frozen=True)
class APGDT(Staged):
    """Auto-PGD on the targeted difference-of-logits ratio, one after another towards the likeliest other classes."""

    eps: float = 0.031
    """Radius of the ball, in [0, 1] pixel units."""
    steps: int = 100
    """Gradient steps towards each target."""
    restarts: int = 1
    """Random starts for each target."""
    targets: int = 9
    """Classes aimed at, at most all others."""
    eot_iter: int = 1
    """Gradients averaged at each step, for models with randomness."""
    norm: Norm = "Linf"
    """Norm of the ball."""
    seed: int = 0
    """Seed of the random starts."""

    def __post_init__(self) -> None:
        _check(self)
        check(self.targets >= 1, "targets", self.targets, "a whole number >= 1")

    @property
    def name(self) -> str:
        """Name for tables and files."""
        return "apgd_t"

    def rounds(self, classes: int) -> int:
        """Return targets times restarts."""
        return min(self.targets, classes - 1) * self.restarts

    def attack_round(
        self, model: nn.Module, x: Tensor, y: Tensor, *, number: int, stream: RandomStream
    ) -> tuple[Tensor, Tensor]:
        """Return adversarial examples and which are broken, aiming at one class from one random start."""
        target = predict(model, x).sort(dim=1).indices[:, -2 - number // self.restarts]

        def value(logits: Tensor, rows: Tensor) -> Tensor:
            return targeted_dlr(logits, y[rows], target[rows])

        return run_apgd(model, x, y, stream=stream, attack=self, value=value)


def _check(attack: APGD | APGDT) -> None:
    threat_model(attack.norm, attack.eps)
    for name in ("steps", "restarts", "eot_iter"):
        check(getattr(attack, name) >= 1, name, getattr(attack, name), "a whole number >= 1")
