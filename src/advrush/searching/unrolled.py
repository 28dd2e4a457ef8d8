"""Second-order DARTS: alpha minimizes the validation loss after one unrolled weight step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from advrush.models.supernet import Supernet
from advrush.modes import frozen_except
from advrush.searching.objectives import AlphaStep, Batch, Objective, accuracy, weight_gradients

PUBLISHED_RADIUS = 0.01
"""Of the central difference in the published code of DARTS."""


@dataclass(frozen=True)
class UnrolledDarts(Objective):
    """Second-order DARTS (Liu et al., 2019, Eq. 6-8).

    `grad_alpha L_val(w', alpha) - lr * grad^2_{alpha,w} L_train(w, alpha) grad_w' L_val(w', alpha)` with
    `w' = w - lr * (momentum step on grad_w L_train)`. The matrix-vector product is exact, by double backward, unless a
    `radius` is given: then it is the central difference over `w +- e v`, `e = radius / ||v||`, as published with
    PUBLISHED_RADIUS. ReLUs and max pools have kinks within that radius, so that the difference is far from the
    derivative there.
    """

    radius: float | None = None

    def alpha_step(self, supernet: Supernet, batch: Batch) -> AlphaStep:
        """Return the unrolled gradient; weights and BN statistics are put back as they were."""
        weights, kinds = supernet.weights(), list(supernet.alphas())
        alphas = list(supernet.alphas().values())
        with _restored(supernet, weights):
            start = [weight.detach().clone() for weight in weights]
            lr = self._descend(supernet, batch, weights)
            loss, hits, grads = _gradients(supernet, batch, [*alphas, *weights])
            direct, v = grads[: len(alphas)], grads[len(alphas) :]
            batch.processes.average_(v)
            mixed = self._mixed_product(supernet, batch, start, v)
        gradients = [a - lr * m for a, m in zip(direct, mixed, strict=True)]
        return AlphaStep(dict(zip(kinds, gradients, strict=True)), loss, hits)

    def _descend(self, supernet: Supernet, batch: Batch, weights: list[torch.nn.Parameter]) -> float:
        """Move the weights to w' and return the learning rate of that step."""
        _, _, gradients = weight_gradients(supernet, batch.x, batch.y)
        batch.processes.average_(gradients)
        group = batch.optimizer.param_groups[0]
        lr, momentum, decay = float(group["lr"]), float(group["momentum"]), float(group["weight_decay"])
        with torch.no_grad():
            for weight, gradient in zip(weights, gradients, strict=True):
                step = gradient + decay * weight
                buffer = batch.optimizer.state[weight].get("momentum_buffer")
                if buffer is not None:
                    step += momentum * buffer
                weight.sub_(lr * step)
        return lr

    def _mixed_product(self, supernet: Supernet, batch: Batch, start: list[Tensor], v: list[Tensor]) -> list[Tensor]:
        """Return the mixed second derivative of L_train at the weights `start`, times `v`."""
        if self.radius is None:
            return _exact_product(supernet, batch, start, v)
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(v)))
        e = self.radius / norm.clamp_min(1e-12)
        sides = []
        for sign in (1.0, -1.0):
            with torch.no_grad():
                for weight, origin, direction in zip(supernet.weights(), start, v, strict=True):
                    weight.copy_(origin + sign * e * direction)
            alphas = list(supernet.alphas().values())
            with frozen_except(supernet, alphas):
                loss = cross_entropy(supernet(batch.x), batch.y)
                sides.append(torch.autograd.grad(loss, alphas))
        return [(plus - minus) / (2 * e) for plus, minus in zip(*sides, strict=True)]


def _exact_product(supernet: Supernet, batch: Batch, start: list[Tensor], v: list[Tensor]) -> list[Tensor]:
    """Return d/dalpha <grad_w L_train(w, alpha), v> at w = `start`, by double backward."""
    weights = supernet.weights()
    with torch.no_grad():
        for weight, origin in zip(weights, start, strict=True):
            weight.copy_(origin)
    loss = cross_entropy(supernet(batch.x), batch.y)
    gradients = torch.autograd.grad(loss, weights, create_graph=True)
    product = torch.stack([(g * d).sum() for g, d in zip(gradients, v, strict=True)]).sum()
    return list(torch.autograd.grad(product, list(supernet.alphas().values())))


def _gradients(
    supernet: Supernet, batch: Batch, wanted: list[torch.nn.Parameter]
) -> tuple[Tensor, Tensor, list[Tensor]]:
    logits = supernet(batch.x_val)
    loss = cross_entropy(logits, batch.y_val)
    return loss.detach(), accuracy(logits, batch.y_val), list(torch.autograd.grad(loss, wanted))


@contextmanager
def _restored(supernet: Supernet, weights: list[torch.nn.Parameter]) -> Iterator[None]:
    """Put weights and buffers back afterwards."""
    tensors = [*weights, *supernet.buffers()]
    kept = [tensor.detach().clone() for tensor in tensors]
    try:
        yield
    finally:
        with torch.no_grad():
            for tensor, value in zip(tensors, kept, strict=True):
                tensor.copy_(value)
