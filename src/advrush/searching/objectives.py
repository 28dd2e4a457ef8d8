"""Objectives of the architecture step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from advrush.curvature import input_curvature, input_hessian_norm
from advrush.models.linearized import curvature as linearized_curvature
from advrush.models.linearized.hessian_norm import hessian_norm_gradients
from advrush.models.supernet import Supernet
from advrush.modes import frozen_except
from advrush.parallel import Parallel

Regularizer = Callable[[Supernet, Tensor, Tensor], Tensor]
LINEARIZED = "linearized"
DOUBLE_BACKWARD = "double backward"
"""The two ways to the gradient of L_lambda, as `result.json` names them."""


@dataclass(frozen=True)
class Batch:
    """One step's examples: `x`, `y` train the weights, `x_val`, `y_val` the architecture (normalized inputs)."""

    x: Tensor
    y: Tensor
    x_val: Tensor
    y_val: Tensor
    optimizer: torch.optim.SGD
    """Optimizer of the weights: the unrolled step takes its rate, momentum and decay."""
    processes: Parallel
    """The processes; the loop averages the gradients that an objective returns."""
    generator: torch.Generator
    """Randomness of this step, the same on every process."""


@dataclass(frozen=True)
class AlphaStep:
    """Gradients of the architecture parameters, one for each cell kind, and what was measured on the way."""

    gradients: Mapping[str, Tensor]
    loss: Tensor
    accuracy: Tensor
    curvature: Tensor | None = None
    """L_lambda, unscaled, where it was computed."""


class Objective(Protocol):
    """The architecture's side of the bilevel problem; an objective may derive from it for its default."""

    def alpha_step(self, supernet: Supernet, batch: Batch) -> AlphaStep:
        """Return the gradient of the objective with respect to alpha; the weights' gradients are not asked for."""
        ...

    def weight_inputs(self, supernet: Supernet, batch: Batch) -> Tensor:
        """Return the inputs that the weight step trains on: the clean ones, unless an objective has others."""
        return batch.x


@dataclass(frozen=True)
class Darts(Objective):
    """First-order DARTS: alpha minimizes the validation loss at the weights as they are."""

    def alpha_step(self, supernet: Supernet, batch: Batch) -> AlphaStep:
        """Return grad_alpha L_val (train-mode BN)."""
        return validation_step(supernet, batch.x_val, batch.y_val)


@dataclass(frozen=True)
class AdvRush(Objective):
    """AdvRush (Eq. 8-10): alpha minimizes `L_val + gamma * scale * L_lambda`."""

    gamma: float = 0.01
    h: float = 1.5
    scale: float = 1.0
    fast: bool = True
    """Use `models.linearized.curvature` where it knows every primitive; else, or if False, double backward op by op."""
    micro_batch: int | None = None
    """Compute L_lambda on so many examples at a time: examples do not mix in eval-mode BN, so the sum is exact."""

    def alpha_step(self, supernet: Supernet, batch: Batch) -> AlphaStep:
        """Return the gradient; L_val with train-mode BN first, then L_lambda with the statistics it left."""
        plain = validation_step(supernet, batch.x_val, batch.y_val)
        value, grads = self.curvature(supernet, batch.x_val, batch.y_val)
        factor = self.gamma * self.scale
        gradients = {kind: gradient + factor * grads[kind] for kind, gradient in plain.gradients.items()}
        return AlphaStep(gradients, plain.loss, plain.accuracy, value)

    def curvature_path(self, supernet: Supernet) -> str:
        """Return how L_lambda's gradient is computed: LINEARIZED, or DOUBLE_BACKWARD (about five times slower)."""
        return LINEARIZED if self.fast and linearized_curvature.is_supported(supernet) else DOUBLE_BACKWARD

    def curvature(self, supernet: Supernet, x: Tensor, y: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return L_lambda of the batch and its gradient for each kind."""
        fast = self.curvature_path(supernet) == LINEARIZED
        size = self.micro_batch or len(x)
        value = torch.zeros((), dtype=x.dtype, device=x.device)
        grads = {kind: torch.zeros_like(alpha) for kind, alpha in supernet.alphas().items()}
        for start in range(0, len(x), size):
            part = slice(start, start + size)
            mean, gradients = self.measure(supernet, x[part], y[part], fast=fast)
            share = len(y[part]) / len(y)
            value += share * mean
            for kind, gradient in gradients.items():
                grads[kind] += share * gradient
        return value, grads

    def measure(self, supernet: Supernet, x: Tensor, y: Tensor, *, fast: bool) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the regularizer of one batch and its gradient for each kind, by one of the two ways."""
        step = linearized_curvature.curvature_gradients if fast else double_backward_gradients
        return step(supernet, x, y, h=self.h)


@dataclass(frozen=True)
class ExactCurvature(AdvRush):
    """The ideal that AdvRush approximates: alpha minimizes `L_val + gamma * scale * mean ||H||_F` (Eq. 8); no h."""

    def measure(self, supernet: Supernet, x: Tensor, y: Tensor, *, fast: bool) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the mean exact ||H||_F of one batch and its gradient for each kind."""
        if fast:
            return hessian_norm_gradients(supernet, x)
        alphas = supernet.alphas()
        with frozen_except(supernet, alphas.values()):
            value = input_hessian_norm(supernet, x)
            gradients = torch.autograd.grad(value, list(alphas.values()))
        return value.detach(), dict(zip(alphas, gradients, strict=True))


@dataclass(frozen=True)
class Regularized(Objective):
    """A regularizer of one's own: alpha minimizes `L_val + strength * regularizer(supernet, x, y)`.

    `regularizer` gets the supernet and a normalized validation batch and returns a scalar that autograd can
    differentiate with respect to alpha.
    """

    regularizer: Regularizer
    strength: float = 1.0

    def alpha_step(self, supernet: Supernet, batch: Batch) -> AlphaStep:
        """Return the gradient; the regularizer's value is logged as the curvature is."""
        plain = validation_step(supernet, batch.x_val, batch.y_val)
        alphas = supernet.alphas()
        with frozen_except(supernet, alphas.values()):
            value = self.regularizer(supernet, batch.x_val, batch.y_val)
            grads = torch.autograd.grad(value, list(alphas.values()), materialize_grads=True)
        gradients = {
            kind: plain.gradients[kind] + self.strength * grad for kind, grad in zip(alphas, grads, strict=True)
        }
        return AlphaStep(gradients, plain.loss, plain.accuracy, value.detach())


def validation_step(supernet: Supernet, x: Tensor, y: Tensor) -> AlphaStep:
    """Return grad_alpha of the cross-entropy on (x, y); the weights are frozen, so their gradients cost nothing."""
    alphas = supernet.alphas()
    with frozen_except(supernet, alphas.values()):
        logits = supernet(x)
        loss = cross_entropy(logits, y)
        gradients = torch.autograd.grad(loss, list(alphas.values()))
    return AlphaStep(dict(zip(alphas, gradients, strict=True)), loss.detach(), accuracy(logits, y))


def double_backward_gradients(
    supernet: Supernet, x: Tensor, y: Tensor, *, h: float
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return L_lambda and its gradient for each kind by double backward, op by op: the reference implementation."""
    alphas = supernet.alphas()
    with frozen_except(supernet, alphas.values()):
        value = input_curvature(supernet, x, y, h=h)
        gradients = torch.autograd.grad(value, list(alphas.values()))
    return value.detach(), dict(zip(alphas, gradients, strict=True))


def accuracy(logits: Tensor, y: Tensor) -> Tensor:
    """Return the fraction of examples whose largest logit is the label's (a scalar tensor, no synchronization)."""
    return (logits.detach().argmax(1) == y).to(torch.float64).mean()


def weight_gradients(supernet: Supernet, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Return loss, accuracy and the gradients of the weights alone, in the order of `supernet.weights()`."""
    alphas: list[nn.Parameter] = list(supernet.alphas().values())
    for alpha in alphas:
        alpha.requires_grad_(False)
    try:
        logits = supernet(x)
        loss = cross_entropy(logits, y)
        gradients = torch.autograd.grad(loss, supernet.weights())
    finally:
        for alpha in alphas:
            alpha.requires_grad_(True)
    return loss.detach(), accuracy(logits, y), list(gradients)
