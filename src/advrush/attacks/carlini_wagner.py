"""The L2 attack of Carlini and Wagner (IEEE S&P 2017): gradient descent on norm plus margin, its weight bisected."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from advrush.attacks.losses import margin
from advrush.attacks.minimal_norm import MinimalNorm
from advrush.attacks.passes.chunks import gradient
from advrush.attacks.threat import Norm, per_example
from advrush.config import check

INSIDE = 0.999999
"""Pixels are taken to the real line by atanh of this part of their range: 0 and 1 would be infinitely far."""
LARGEST = 1e10
"""The weight of the margin while none has been large enough."""
CHECKPOINTS = 10
"""How often a descent is checked: an example whose objective fell by less than 0.01% since the last check is done."""
BETA_1, BETA_2, TINY = 0.9, 0.999, 1e-8
"""Constants of Adam."""


@dataclass(frozen=True)
class CarliniWagner(MinimalNorm):
    """The smallest L2 perturbation, by Adam on ||x' - x||^2 + c max(z_y - max other z + confidence, 0).

    x' = (tanh(w) + 1) / 2 keeps pixels in [0, 1]. The weight c of each example is bisected: made smaller where the
    descent broke the example, larger where it did not.
    """

    eps: float = math.inf
    """Radius at which an evaluation tells the accuracy; infinite for the norms alone."""
    steps: int = 1000
    """Most gradient steps for each weight."""
    searches: int = 9
    """Weights tried for each example."""
    step_size: float = 0.01
    """Learning rate of Adam, in the space of w."""
    weight: float = 0.001
    """The first weight of the margin."""
    confidence: float = 0.0
    """By how much another logit must exceed the label's for a point to count."""
    norm: Norm = "L2"
    """Norm of the perturbation: L2."""
    seed: int = 0
    """Without effect: there is nothing random in it."""

    def __post_init__(self) -> None:
        self.check_radius()
        for name in ("steps", "searches"):
            check(getattr(self, name) >= 1, name, getattr(self, name), "a whole number >= 1")
        for name in ("step_size", "weight"):
            check(getattr(self, name) > 0, name, getattr(self, name), "a number > 0")
        check(self.confidence >= 0, "confidence", self.confidence, "a number >= 0")

    @property
    def name(self) -> str:
        """Name for tables and files."""
        return "cw_l2"

    def search(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """Return the nearest points of all descents, x itself where none was adversarial."""
        best, nearest = x.detach().clone(), torch.full((len(x),), torch.inf, dtype=x.dtype, device=x.device)
        weight = torch.full_like(nearest, self.weight)
        low, high = torch.zeros_like(weight), torch.full_like(weight, LARGEST)
        for _ in range(self.searches):
            points, squares = self._descend(model, x, y, weight)
            hit = squares.isfinite()
            better = squares < nearest
            best = torch.where(per_example(better, x), points, best)
            nearest = torch.where(better, squares, nearest)
            low, high = (
                torch.where(hit, low, torch.maximum(low, weight)),
                torch.where(hit, torch.minimum(high, weight), high),
            )
            weight = torch.where(high < LARGEST, (low + high) / 2, weight * 10)
        return best

    def _descend(self, model: nn.Module, x: Tensor, y: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Return the nearest adversarial points of one descent, and their squared norms (N,), infinite for none."""
        best, nearest = x.detach().clone(), torch.full_like(weight, torch.inf)
        rows = torch.arange(len(x), device=x.device)
        w = torch.atanh((2 * x.detach() - 1) * INSIDE)
        first, second, before = torch.zeros_like(w), torch.zeros_like(w), torch.full_like(weight, torch.inf)
        for step in range(1, self.steps + 1):
            points, margins, objective, grad = self._objective(model, w, x[rows], y[rows], weight[rows])
            squares = (points - x[rows]).flatten(1).square().sum(dim=1)
            better = (margins > self.confidence) & (squares < nearest[rows])
            best[rows] = torch.where(per_example(better, points), points, best[rows])
            nearest[rows] = torch.where(better, squares, nearest[rows])
            first, second = BETA_1 * first + (1 - BETA_1) * grad, BETA_2 * second + (1 - BETA_2) * grad**2
            scale = (second / (1 - BETA_2**step)).sqrt() + TINY
            w = w - self.step_size * (first / (1 - BETA_1**step)) / scale
            if step % max(self.steps // CHECKPOINTS, 1) == 0:
                left = (objective <= before * 0.9999).nonzero().flatten()
                rows, w, first, second, before = (part[left] for part in (rows, w, first, second, objective))
                if not len(rows):
                    break
        return best, nearest

    def _objective(
        self, model: nn.Module, w: Tensor, x: Tensor, y: Tensor, weight: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return points, margins (N,), what is minimized (N,), and its gradient with respect to w."""
        tanh = torch.tanh(w)
        points = (tanh + 1) / 2

        def missing(logits: Tensor, rows: slice) -> Tensor:
            return weight[rows] * (self.confidence - margin(logits, y[rows])).clamp_min(0.0)

        logits, penalty, grad = gradient(model, points, missing)
        offset = points - x
        objective = offset.flatten(1).square().sum(dim=1) + penalty
        return points, margin(logits, y), objective, (grad + 2 * offset) * (1 - tanh**2) / 2
