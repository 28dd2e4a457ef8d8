"""The search as the authors' published code computes it, where that differs from the paper's text."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from advrush.models.supernet import Supernet
from advrush.modes import evaluating, frozen_except
from advrush.searching.objectives import (
    DOUBLE_BACKWARD,
    AlphaStep,
    Batch,
    Objective,
    double_backward_gradients,
    validation_step,
)


@dataclass(frozen=True)
class AuthorsAdvRush(Objective):
    """AdvRush with two side effects of the published code, each behind its switch.

    `polluted_gradient`: finding z* runs a backward pass of the summed loss that accumulates into alpha's gradient,
    which becomes `grad L_val (train BN) + B * grad L_val (eval BN) + gamma * scale * grad L_lambda`.
    `frozen_bn`: computing L_lambda leaves the network in eval mode, so that the weight step of the same iteration
    neither uses batch statistics nor updates the running ones.
    """

    gamma: float = 0.01
    h: float = 1.5
    scale: float = 4.0
    polluted_gradient: bool = True
    frozen_bn: bool = True

    def curvature_path(self, supernet: Supernet) -> str:
        """Return DOUBLE_BACKWARD: what the published code computes, as it does."""
        return DOUBLE_BACKWARD

    def alpha_step(self, supernet: Supernet, batch: Batch) -> AlphaStep:
        """Return the gradient that the published code gives to Adam."""
        x, y = batch.x_val, batch.y_val
        plain = validation_step(supernet, x, y)
        gradients = dict(plain.gradients)
        value, grads = double_backward_gradients(supernet, x, y, h=self.h)
        pollution = summed_gradients(supernet, x, y) if self.polluted_gradient else {}
        for kind, grad in grads.items():
            gradients[kind] = gradients[kind] + self.gamma * self.scale * grad
            if kind in pollution:
                gradients[kind] = gradients[kind] + pollution[kind]
        if self.frozen_bn:
            supernet.eval()
        return AlphaStep(gradients, plain.loss, plain.accuracy, value)


def summed_gradients(supernet: Supernet, x: Tensor, y: Tensor) -> dict[str, Tensor]:
    """Return grad_alpha of the summed (not averaged) cross-entropy in eval-mode BN."""
    alphas = supernet.alphas()
    with evaluating(supernet), frozen_except(supernet, alphas.values()):
        loss = cross_entropy(supernet(x), y, reduction="sum")
        gradients = torch.autograd.grad(loss, list(alphas.values()))
    return dict(zip(alphas, gradients, strict=True))
