"""Auto-PGD's gradient ascent on a batch from which misclassified examples are removed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn

from advrush.attacks.ensemble.random_streams import Draws
from advrush.attacks.passes.chunks import by_pieces, gradient
from advrush.attacks.passes.upload import upload
from advrush.attacks.threat import Norm, ThreatModel, per_example, threat_model

MOMENTUM = 0.75
INCREASED = 0.75
"""A checkpoint halves the step where the loss increased in at most this fraction of the steps since the last one."""

RowValue = Callable[[Tensor, Tensor], Tensor]
"""From the logits (n, K) of some examples and their rows (n,) in the batch to what is maximized (n,)."""


class Settings(Protocol):
    """What the ascent needs to know of its attack."""

    @property
    def eps(self) -> float: ...  # noqa: D102

    @property
    def norm(self) -> Norm: ...  # noqa: D102

    @property
    def steps(self) -> int: ...  # noqa: D102

    @property
    def averaged(self) -> int: ...  # noqa: D102


def climb(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    draws: Draws,
    attack: Settings,
    value: RowValue,
    targets: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Return each example's first adversarial point (x itself where there is none), and which were broken.

    With `targets` (N,) a point is adversarial where the model takes it for its target.

    On a CPU an example leaves the batch at once; on a GPU after the next checkpoint of the step sizes, since
    counting the broken ones makes the host wait.
    """
    noise = upload(draws.each(tuple(x.shape[1:]), normal=attack.norm == "L2"), x)
    start = threat_model(attack.norm, attack.eps).sphere(x, noise).clamp(0.0, 1.0)

    def succeeds(logits: Tensor, rows: Tensor) -> Tensor:
        told = logits.argmax(dim=1)
        return told != y[rows] if targets is None else told == targets[rows]

    return by_pieces(lambda rows: _climb(model, x[rows], start[rows], rows, attack, value, succeeds), x)


def _climb(
    model: nn.Module, x: Tensor, start: Tensor, places: Tensor, attack: Settings, value: RowValue, succeeds: RowValue
) -> tuple[Tensor, Tensor]:
    threat = threat_model(attack.norm, attack.eps)
    rows = torch.arange(len(x), device=x.device)
    found, broken = x.clone(), torch.zeros(len(x), dtype=torch.bool, device=x.device)

    def look_at(points: Tensor) -> tuple[Tensor, Tensor]:
        logits, loss, slope = _measure(model, points, places[rows], value, attack.averaged)
        new = succeeds(logits, places[rows]) & ~broken[rows]
        found[rows] = torch.where(per_example(new, x), points, found[rows])
        broken[rows] |= new
        return loss, slope

    ascent = Ascent(x, start, *look_at(start), 2.0 * attack.eps)
    schedule = checkpoints(attack.steps)
    for step in range(attack.steps):
        if x.device.type == "cpu" or step - 1 in schedule:
            left = (~broken[rows]).nonzero().flatten()
            if len(left) < len(rows):
                rows = rows[left]
                ascent.keep(left)
            if not len(rows):
                break
        ascent.move(threat, MOMENTUM if step else 1.0)
        ascent.record(*look_at(ascent.x_adv))
        if step in schedule:
            ascent.checkpoint(schedule[step])
    return found, broken


def _measure(
    model: nn.Module, points: Tensor, rows: Tensor, value: RowValue, averaged: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return logits and loss of the last pass, and the slope averaged over all."""
    total = torch.zeros_like(points)
    for _ in range(averaged):
        logits, loss, slope = gradient(model, points, lambda z, part: value(z, rows[part]))
        total = total + slope
    return logits, loss, total / float(averaged)


class Ascent:
    """What each example still under attack carries from step to step."""

    def __init__(self, x: Tensor, start: Tensor, loss: Tensor, slope: Tensor, step: float) -> None:
        self.x, self.x_adv, self.x_before, self.x_best = x, start, start, start
        self.slope, self.slope_best = slope, slope
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
        """Take a step along the slope and a part of the last movement."""
        towards = self.x_adv + per_example(self.step, self.x) * threat.direction(self.slope)
        towards = threat.project(towards, self.x)
        last = self.x_adv - self.x_before
        self.x_before = self.x_adv
        self.x_adv = threat.project(self.x_adv + (towards - self.x_adv) * momentum + last * (1 - momentum), self.x)

    def record(self, loss: Tensor, slope: Tensor) -> None:
        """Take in the loss and slope at the new point."""
        self.slope = slope
        self.increases = self.increases + (loss > self.loss_before)
        self.loss_before = loss
        better = loss > self.loss_best
        wide = per_example(better, self.x)
        self.x_best = torch.where(wide, self.x_adv, self.x_best)
        self.slope_best = torch.where(wide, slope, self.slope_best)
        self.loss_best = torch.where(better, loss, self.loss_best)

    def checkpoint(self, steps: int) -> None:
        """Halve the step and restart from the best point where the loss stopped increasing."""
        stalled = ~self.halved & (self.loss_checked >= self.loss_best)
        self.halved = (self.increases <= steps * INCREASED) | stalled
        self.loss_checked, self.increases = self.loss_best, torch.zeros_like(self.increases)
        self.step = torch.where(self.halved, self.step / 2, self.step)
        wide = per_example(self.halved, self.x)
        self.x_adv = torch.where(wide, self.x_best, self.x_adv)
        self.slope = torch.where(wide, self.slope_best, self.slope)


def checkpoints(steps: int) -> dict[int, int]:
    """Return after which steps the step sizes are checked, and how many steps have gone by since the last check."""
    first, shortest, shorter = (max(int(part * steps), 1) for part in (0.22, 0.06, 0.03))
    schedule, now, gap = {}, first, first
    while now <= steps:
        schedule[now - 1] = gap
        gap = max(gap - shorter, shortest)
        now += gap
    return schedule
