"""The momentum iterative method (Dong et al., CVPR 2018)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from advrush.attacks.ensemble.runnable import Runnable
from advrush.attacks.losses import ce
from advrush.attacks.passes.chunks import pieces
from advrush.attacks.pgd import loss_gradient
from advrush.attacks.threat import Norm, per_example, refuse_l1, threat_model
from advrush.config import check


@dataclass(frozen=True)
class MIFGSM(Runnable):
    """Steps along the sign of a decaying sum of gradients, each scaled to mean absolute value 1; starts at x."""

    eps: float = 0.031
    """Radius of the ball, in [0, 1] pixel units."""
    steps: int = 10
    """Gradient steps, each of length eps / steps."""
    decay: float = 1.0
    """Weight of the past in the momentum."""
    norm: Norm = "Linf"
    """Norm of the ball."""
    seed: int = 0
    """Without effect: there is nothing random in it."""

    def __post_init__(self) -> None:
        threat_model(self.norm, self.eps)
        refuse_l1(self.norm, "mifgsm")
        check(self.steps >= 1, "steps", self.steps, "a whole number >= 1")
        check(self.decay >= 0, "decay", self.decay, "a number >= 0")

    @property
    def name(self) -> str:
        """Name for tables and files."""
        return f"mifgsm{self.steps}"

    def attack_batch(
        self, model: nn.Module, x: Tensor, y: Tensor, *, generator: torch.Generator, targets: Tensor | None
    ) -> Tensor:
        """Return the last iterates; nothing is drawn from `generator`."""
        return torch.cat([self._ascend(model, x[rows], y[rows]) for rows in pieces(x)])

    def _ascend(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        threat = threat_model(self.norm, self.eps)
        x_adv, momentum = x.detach(), torch.zeros_like(x)
        for _ in range(self.steps):
            gradient = loss_gradient(model, x_adv, y, loss=ce)
            scale = per_example(gradient.flatten(1).abs().mean(dim=1), x).clamp_min(1e-20)
            momentum = self.decay * momentum + gradient / scale
            x_adv = threat.project(x_adv + self.eps / self.steps * threat.direction(momentum), x)
        return x_adv
