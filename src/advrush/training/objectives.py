"""Training objectives: standard, PGD, TRADES, MART."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, kl_div, log_softmax, one_hot, softmax

from advrush.attacks import PGD
from advrush.attacks.pgd import ascend
from advrush.attacks.threat import threat_model
from advrush.models.network import Network
from advrush.models.normalize import Normalized
from advrush.modes import evaluating, frozen
from advrush.training.config import TrainConfig


class Objective(Protocol):
    """A loss in two parts: the examples that it is taken on, and its value there."""

    def perturb(self, model: nn.Module, x: Tensor, y: Tensor, noise: Tensor) -> Tensor:
        """Return the examples (N, C, H, W) to train on, detached; the model's state is left untouched.

        `noise`, standard normal and of the shape of x, is all the randomness that there is: the loop draws it, so that
        several processes see what one would.
        """
        ...

    def loss(self, model: nn.Module, x: Tensor, x_adv: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss (scalar, with its graph) and the logits (N, K) that accuracy is counted on."""
        ...


@dataclass(frozen=True)
class Standard:
    """Cross-entropy on clean images, plus the auxiliary head's where there is one."""

    auxiliary: float = 0.0

    def perturb(self, model: nn.Module, x: Tensor, y: Tensor, noise: Tensor) -> Tensor:
        """Return x."""
        return x

    def loss(self, model: nn.Module, x: Tensor, x_adv: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss and the logits."""
        return _cross_entropy(model, x_adv, y, self.auxiliary)


@dataclass(frozen=True)
class Adversarial:
    """Cross-entropy on PGD examples (Madry et al. 2018), made with BN in eval mode from x + 0.001 N(0, 1)."""

    attack: PGD
    auxiliary: float = 0.0

    def perturb(self, model: nn.Module, x: Tensor, y: Tensor, noise: Tensor) -> Tensor:
        """Return PGD examples."""
        return self.attack.perturb_from(model, x, y, _beside(x, noise, self.attack))

    def loss(self, model: nn.Module, x: Tensor, x_adv: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return the adversarial loss and logits."""
        return _cross_entropy(model, x_adv, y, self.auxiliary)


@dataclass(frozen=True)
class Trades:
    """TRADES (Zhang et al. 2019): clean cross-entropy plus beta times KL(p(x) || p(x_adv))."""

    attack: PGD
    beta: float = 6.0

    def perturb(self, model: nn.Module, x: Tensor, y: Tensor, noise: Tensor) -> Tensor:
        """Return the examples that maximize the divergence from the clean prediction within the ball."""
        attack, threat = self.attack, threat_model(self.attack.norm, self.attack.eps)
        start = _beside(x, noise, attack)
        with evaluating(model), frozen(model):
            with torch.no_grad():
                target = softmax(model(x).float(), dim=1)

            def divergence(logits: Tensor, _: Tensor) -> Tensor:
                return kl_div(log_softmax(logits.float(), dim=1), target, reduction="none").sum(dim=1)

            return ascend(
                model, x, y, start=start, steps=attack.steps, step_size=attack.step_size, threat=threat, loss=divergence
            )

    def loss(self, model: nn.Module, x: Tensor, x_adv: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss and the logits of the adversarial examples."""
        clean, robust = _wide(model(x)), _wide(model(x_adv))
        divergence = kl_div(
            log_softmax(robust, dim=1), log_softmax(clean, dim=1), reduction="batchmean", log_target=True
        )
        return cross_entropy(clean, y) + self.beta * divergence, robust


@dataclass(frozen=True)
class Mart:
    """MART (Wang et al. 2020): boosted cross-entropy on PGD examples, plus the divergence from the clean prediction.

    The loss is BCE(p(x_adv), y) + beta * mean_i(KL(p(x) || p(x_adv)) * (1 - p_y(x))), where BCE adds
    -log(1 - max_(k != y) p_k) to the cross-entropy: examples that are wrong without an attack count most.
    """

    attack: PGD
    beta: float = 5.0

    def perturb(self, model: nn.Module, x: Tensor, y: Tensor, noise: Tensor) -> Tensor:
        """Return PGD examples."""
        return self.attack.perturb_from(model, x, y, _beside(x, noise, self.attack))

    def loss(self, model: nn.Module, x: Tensor, x_adv: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss and the logits of the adversarial examples."""
        clean, robust = log_softmax(_wide(model(x)), dim=1), _wide(model(x_adv))
        log_p = log_softmax(robust, dim=1)
        label = one_hot(y, robust.shape[1]).bool()
        runner_up = log_p.masked_fill(label, -torch.inf).amax(dim=1).exp()
        boosted = cross_entropy(robust, y) - torch.log1p(1e-4 - runner_up).mean()
        divergence = (clean.exp() * (clean - log_p)).sum(dim=1)
        doubt = 1.0 - clean.gather(1, y[:, None]).squeeze(1).exp()
        return boosted + self.beta * (divergence * doubt).mean(), robust


def objective_of(config: TrainConfig) -> Objective:
    """Return the objective that the configuration names."""
    attack = config.attack.pgd(start="normal")
    match config.objective:
        case "standard":
            return Standard(config.auxiliary)
        case "pgd":
            return Adversarial(attack, config.auxiliary)
        case "trades":
            return Trades(attack, config.beta)
        case "mart":
            return Mart(attack, config.beta)


def gradients(
    objective: Objective,
    model: nn.Module,
    x: Tensor,
    x_adv: Tensor,
    y: Tensor,
    *,
    awp: float = 0.0,
    scale: Callable[[Tensor], Tensor] = lambda loss: loss,
    average: Callable[[list[Tensor]], object] = lambda tensors: None,
) -> tuple[list[Tensor], Tensor, Tensor]:
    """Return the objective's gradients for the model's parameters, its value and the logits, the last two detached.

    Args:
        objective: what is minimized.
        model: in the mode in which it is trained.
        x: clean images (N, C, H, W).
        x_adv: what `objective.perturb` made of them.
        y: labels (N,).
        awp: adversarial weight perturbation (Wu et al. 2020) around any objective: the gradients are taken at weights
            moved up the loss by this share of their own norm, tensor by tensor; 0 for none.
        scale: applied to the loss before it is differentiated, as a gradient scaler does.
        average: makes tensors the mean over all processes, in place, so that all move their weights alike.
    """
    parameters = list(model.parameters())
    moved = _perturb_weights(objective, model, x, x_adv, y, awp, average) if awp else []
    loss, logits = objective.loss(model, x, x_adv, y)
    found = torch.autograd.grad(scale(loss), parameters, allow_unused=True)
    with torch.no_grad():
        for weight, value in moved:
            weight.copy_(value)
    filled = [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, found, strict=True)]
    return filled, loss.detach(), logits.detach()


def _perturb_weights(
    objective: Objective,
    model: nn.Module,
    x: Tensor,
    x_adv: Tensor,
    y: Tensor,
    gamma: float,
    average: Callable[[list[Tensor]], object],
) -> list[tuple[nn.Parameter, Tensor]]:
    """Add gamma ||w|| g / ||g|| to each weight (not to biases or batch norm's scales); return weights and old values.

    Batch norm's running statistics do not notice the pass that finds g.
    """
    weights = [parameter for parameter in model.parameters() if parameter.dim() > 1]
    kept = [(buffer, buffer.clone()) for buffer in model.buffers()]
    loss, _ = objective.loss(model, x, x_adv, y)
    found = torch.autograd.grad(loss, weights, allow_unused=True)
    grads = [torch.zeros_like(w) if grad is None else grad for w, grad in zip(weights, found, strict=True)]
    average(grads)
    old = [(weight, weight.detach().clone()) for weight in weights]
    with torch.no_grad():
        for buffer, value in kept:
            buffer.copy_(value)
        for weight, grad in zip(weights, grads, strict=True):
            weight.add_(gamma * weight.norm() / (grad.norm() + 1e-20) * grad)
    return old


def _beside(x: Tensor, noise: Tensor, attack: PGD) -> Tensor:
    """Return x + 0.001 N(0, 1), where attacks in training begin."""
    return threat_model(attack.norm, attack.eps).project(x + 0.001 * noise.to(x), x)


def _cross_entropy(model: nn.Module, x: Tensor, y: Tensor, auxiliary: float) -> tuple[Tensor, Tensor]:
    if not auxiliary:
        logits = _wide(model(x))
        return cross_entropy(logits, y), logits
    network = getattr(model, "_orig_mod", model)  # of a compiled model
    assert isinstance(network, Network | Normalized)
    logits, middle = (_wide(each) for each in network.forward_with_auxiliary(x))
    return cross_entropy(logits, y) + auxiliary * cross_entropy(middle, y), logits


def _wide(logits: Tensor) -> Tensor:
    """Return logits of half precision in float32, others as they are."""
    return logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits
