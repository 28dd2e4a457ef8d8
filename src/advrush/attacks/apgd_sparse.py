"""Auto-PGD in the L1 ball (Croce and Hein, ICML 2021): sparse steps whose number of entries follows the best point."""

from __future__ import annotations

import torch
from torch import Tensor

from advrush.attacks.apgd_state import Ascent
from advrush.attacks.l1_geometry import sparse_direction
from advrush.attacks.threat import ThreatModel, per_example

FIRST_SHARE = 0.2
"""Fraction of the entries that the first steps change."""
FEWER = 1.5
"""A step changes so many times fewer entries than the best point does; a step that was no good is so much shorter."""
SPARSER = 0.95
"""The best point counts as sparser where its number of entries fell below this fraction."""
SHORTEST = 10.0
"""The shortest step is eps over this."""
EVERY = 0.04
"""Fraction of the steps between two checks."""


class SparseAscent(Ascent):
    """The ascent in the L1 ball: no momentum, one step length and one share of changed entries for each example."""

    def __init__(self, x: Tensor, start: Tensor, loss: Tensor, grad: Tensor, eps: float) -> None:
        super().__init__(x, start, loss, grad, eps)
        self.longest = self.step.clone()
        self.share = torch.full_like(loss, FIRST_SHARE)
        self.entries = torch.full_like(loss, float(x[:1].numel()))

    def move(self, threat: ThreatModel, momentum: float) -> None:
        """Take a sparse step along the gradient."""
        towards = sparse_direction(self.grad.flatten(1), self.share).view_as(self.x)
        self.x_adv = threat.project(self.x_adv + per_example(self.step, self.x) * towards, self.x)

    def checkpoint(self, steps: int) -> None:
        """Follow the best point's sparsity: where it became sparser, go on from there at full length; else shorter."""
        entries = (self.x_best != self.x).flatten(1).sum(dim=1).to(self.share)
        sparser = entries < SPARSER * self.entries
        self.share = entries / max(self.x[:1].numel(), 1) / FEWER
        self.step = torch.where(sparser, self.longest, (self.step / FEWER).maximum(self.longest / SHORTEST))
        self.entries = entries
        wide = per_example(sparser, self.x)
        self.x_adv = torch.where(wide, self.x_best, self.x_adv)
        self.grad = torch.where(wide, self.grad_best, self.grad)


def sparse_checkpoints(steps: int) -> dict[int, int]:
    """Return after which steps the sparsity is followed, and how many steps have gone by since the last time."""
    every = max(int(EVERY * steps), 1)
    return {step - 1: every for step in range(every, steps + 1, every)}
