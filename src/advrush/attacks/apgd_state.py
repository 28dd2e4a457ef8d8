"""The state of Auto-PGD for each example, and the steps at which its step sizes are checked."""

from __future__ import annotations

import torch
from torch import Tensor

from advrush.attacks.threat import ThreatModel, per_example

INCREASED = 0.75
"""A checkpoint halves the step where the loss increased in at most this fraction of the steps since the last one."""


class Ascent:
    """What each example still under attack carries from step to step."""

    def __init__(self, x: Tensor, start: Tensor, loss: Tensor, grad: Tensor, step: float) -> None:
        self.x, self.x_adv, self.x_before, self.x_best = x, start, start, start
        self.grad, self.grad_best = grad, grad
        self.loss_best, self.loss_checked = loss, loss
        # The published counter compares the first loss with 0: its ring buffer is still empty there.
        self.loss_before, self.increases = torch.zeros_like(loss), torch.zeros_like(loss)
        self.halved = torch.ones_like(loss, dtype=torch.bool)
        self.step = torch.full_like(loss, step)

    def keep(self, rows: Tensor) -> None:
        """Go on with these examples alone."""
        for name, value in vars(self).items():
            setattr(self, name, value[rows])

    def move(self, threat: ThreatModel, momentum: float) -> None:
        """Take a step along the gradient and a part of the last movement."""
        towards = self.x_adv + per_example(self.step, self.x) * threat.direction(self.grad)
        towards = threat.project(towards, self.x)
        last = self.x_adv - self.x_before
        self.x_before = self.x_adv
        self.x_adv = threat.project(self.x_adv + (towards - self.x_adv) * momentum + last * (1 - momentum), self.x)

    def record(self, loss: Tensor, grad: Tensor) -> None:
        """Take in the loss and gradient at the new point."""
        self.grad = grad
        self.increases = self.increases + (loss > self.loss_before)
        self.loss_before = loss
        better = loss > self.loss_best
        wide = per_example(better, self.x)
        self.x_best = torch.where(wide, self.x_adv, self.x_best)
        self.grad_best = torch.where(wide, grad, self.grad_best)
        self.loss_best = torch.where(better, loss, self.loss_best)

    def checkpoint(self, steps: int) -> None:
        """Halve the step and restart from the best point where the loss stopped increasing."""
        stalled = ~self.halved & (self.loss_checked >= self.loss_best)
        self.halved = (self.increases <= steps * INCREASED) | stalled
        self.loss_checked, self.increases = self.loss_best, torch.zeros_like(self.increases)
        self.step = torch.where(self.halved, self.step / 2, self.step)
        wide = per_example(self.halved, self.x)
        self.x_adv = torch.where(wide, self.x_best, self.x_adv)
        self.grad = torch.where(wide, self.grad_best, self.grad)


def checkpoints(steps: int) -> dict[int, int]:
    """Return after which steps the step sizes are checked, and how many steps have gone by since the last check."""
    first, shortest, shorter = (max(int(part * steps), 1) for part in (0.22, 0.06, 0.03))
    schedule, now, gap = {}, first, first
    while now <= steps:
        schedule[now - 1] = gap
        gap = max(gap - shorter, shortest)
        now += gap
    return schedule
