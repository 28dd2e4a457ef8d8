"""DeepFool (Moosavi-Dezfooli, Fawzi and Frossard, CVPR 2016): steps onto the nearest linearized decision boundary."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from advrush.attacks.fab_projection import onto_hyperplane_l2
from advrush.attacks.minimal_norm import MinimalNorm
from advrush.attacks.passes.chunks import predict
from advrush.attacks.threat import Norm
from advrush.config import check

TINY = 1e-12
CLOSE = 1e-3
"""A boundary is reached where so small a part of the difference of logits is left: rounding leaves some."""
FAR = 1e6
"""Longer than any way inside the box of pixels."""


@dataclass(frozen=True)
class DeepFool(MinimalNorm):
    """The smallest L2 perturbation by linearization: (1 + overshoot) times the exact one of a linear model.

    Each step goes to the boundary that would be nearest if the model were linear, by the shortest way on which pixels
    stay in [0, 1]. The paper's steps leave that box; where it does not matter they are the same.
    """

    eps: float = math.inf
    """Radius at which an evaluation tells the accuracy; infinite for the norms alone."""
    steps: int = 50
    """Most steps; an example stops where it is misclassified."""
    overshoot: float = 0.02
    """The sum of the steps is prolonged by this fraction, so that the boundary is crossed."""
    candidates: int = 10
    """Classes whose boundaries are looked at, those with the largest logits, the label among them."""
    norm: Norm = "L2"
    """Norm of the perturbation: L2."""
    seed: int = 0
    """Without effect: there is nothing random in it."""

    def __post_init__(self) -> None:
        self.check_radius()
        check(self.steps >= 1, "steps", self.steps, "a whole number >= 1")
        check(self.overshoot >= 0, "overshoot", self.overshoot, "a number >= 0")
        check(self.candidates >= 2, "candidates", self.candidates, "a whole number >= 2")

    @property
    def name(self) -> str:
        """Name for tables and files."""
        return "deepfool"

    def search(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """Return the points where the walks ended, x itself where they found nothing."""
        others = predict(model, x).scatter(1, y[:, None], -torch.inf)
        classes = others.topk(min(self.candidates, others.shape[1]) - 1, dim=1).indices
        found, total = x.detach().clone(), torch.zeros_like(x)
        rows, point = torch.arange(len(x), device=x.device), x.detach()
        for _ in range(self.steps):
            total[rows] += nearest_boundary(model, point, y[rows], classes[rows])
            point = (x[rows] + (1 + self.overshoot) * total[rows]).clamp(0.0, 1.0)
            broken = predict(model, point).argmax(dim=1) != y[rows]
            found[rows[broken]] = point[broken]
            rows, point = rows[~broken], point[~broken]
            if not len(rows):
                break
        return found


def nearest_boundary(model: nn.Module, x: Tensor, y: Tensor, classes: Tensor) -> Tensor:
    """Return the steps (N, C, H, W) to the nearest of the linearized boundaries between y and `classes` (N, M).

    With f = z_k - z_y and w its gradient, the step to class k is the shortest d for which f + w.d = 0 and x + d is in
    [0, 1]: -f / ||w||^2 w where it meets no face of the box. A boundary that the box does not reach is taken only where
    all are such; the step then goes as far as it can.
    """
    point = x.detach().requires_grad_(True)
    with torch.enable_grad():
        logits = model(point)
        gaps = logits.gather(1, classes) - logits.gather(1, y[:, None])
        totals = gaps.sum(dim=0).unbind()
    here, steps, lengths = x.flatten(1), [], []
    for total, gap in zip(totals, gaps.detach().unbind(dim=1), strict=True):
        grad = torch.autograd.grad(total, point, retain_graph=True, materialize_grads=True)[0].flatten(1)
        step = onto_hyperplane_l2(here, grad, (grad * here).sum(dim=1) - gap)
        reached = (gap + (grad * step).sum(dim=1)).abs() <= CLOSE * gap.abs() + TINY
        steps.append(step)
        lengths.append(torch.where(reached, 0.0, FAR) + step.norm(dim=1))
    nearest = torch.stack(lengths).argmin(dim=0)
    return torch.stack(steps)[nearest, torch.arange(len(x), device=x.device)].view_as(x)
