"""What a training minimizes: objects that the one loop takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, kl_div, log_softmax, softmax

from advrush.attacks import PGD
from advrush.models.network import Network
from advrush.models.normalize import Normalized
from advrush.modes import evaluating, frozen


class Objective(Protocol):
    """A loss on a batch; returns it with the logits that accuracy is counted on."""

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return the loss (scalar, with its graph) and logits (N, K)."""
        ...


@dataclass(frozen=True)
class Standard:
    """Cross-entropy on clean images, plus the auxiliary head's where there is one."""

    auxiliary: float = 0.0

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return the loss and the logits."""
        if not self.auxiliary:
            logits = model(x)
            return cross_entropy(logits, y), logits
        assert isinstance(model, Network | Normalized)
        logits, middle = model.forward_with_auxiliary(x)
        return cross_entropy(logits, y) + self.auxiliary * cross_entropy(middle, y), logits


@dataclass(frozen=True)
class Adversarial:
    """Cross-entropy on PGD examples (Madry et al. 2018), made with BN in eval mode from x + 0.001 N(0, 1)."""

    attack: PGD

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return the adversarial loss and logits."""
        logits = model(self.attack.perturb(model, x, y, generator=generator))
        return cross_entropy(logits, y), logits


@dataclass(frozen=True)
class Trades:
    """TRADES (Zhang et al. 2019): clean cross-entropy plus beta times KL(p(x) || p(x_adv))."""

    attack: PGD
    beta: float = 6.0

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return the loss and the logits of the adversarial examples."""
        x_adv = self.perturb(model, x, generator)
        clean, robust = model(x), model(x_adv)
        divergence = kl_div(
            log_softmax(robust, dim=1), log_softmax(clean, dim=1), reduction="batchmean", log_target=True
        )
        return cross_entropy(clean, y) + self.beta * divergence, robust

    def perturb(self, model: nn.Module, x: Tensor, generator: torch.Generator) -> Tensor:
        """Return the examples that maximize the divergence from the clean prediction within the ball."""
        noise = torch.randn(x.shape, generator=generator, device=generator.device).to(x)
        x_adv = (x + 0.001 * noise).clamp(0.0, 1.0)
        with evaluating(model), frozen(model):
            with torch.no_grad():
                target = softmax(model(x), dim=1)
            for _ in range(self.attack.steps):
                x_adv = x_adv.detach().requires_grad_(True)
                divergence = kl_div(log_softmax(model(x_adv), dim=1), target, reduction="sum")
                (gradient,) = torch.autograd.grad(divergence, x_adv)
                x_adv = x_adv.detach() + self.attack.step_size * gradient.sign()
                x_adv = torch.minimum(torch.maximum(x_adv, x - self.attack.eps), x + self.attack.eps).clamp(0.0, 1.0)
        return x_adv.detach()
