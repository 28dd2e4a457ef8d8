"""Square Attack's proposals in the Linf ball: every value stays at one of its two bounds."""

from __future__ import annotations

import torch
from torch import Tensor

from advrush.attacks.ensemble.random_streams import RandomStream
from advrush.attacks.passes.upload import upload

AHEAD = 100
"""Queries drawn at once, so that their colors travel to a GPU together."""


class SquareLinf:
    """The points of a batch, and one square of one color for all of them at a time."""

    def __init__(self, x: Tensor, eps: float, stream: RandomStream) -> None:
        channels, width = x.shape[1], x.shape[3]
        self.low, self.high = (x - eps).clamp_min(0.0), (x + eps).clamp_max(1.0)
        self.points = (x + eps * upload((2 * stream.each((channels, 1, width)) - 1).sign(), x)).clamp(0.0, 1.0)
        self.stream = stream
        self.ahead: list[tuple[Tensor, Tensor, Tensor, bool]] = []
        self.window: tuple[slice, ...] = ()
        self.before = self.points

    @property
    def candidates(self) -> Tensor:
        """Return the proposed points: the square is painted in place until `accept` takes it away."""
        return self.points

    def keep(self, rows: Tensor) -> None:
        """Go on with these examples alone."""
        self.points, self.low, self.high = self.points[rows], self.low[rows], self.high[rows]

    def propose(self, side: int) -> Tensor:
        """Paint a square; return True (N,) where that changes the image."""
        height, width = self.points.shape[2:]
        side = min(side, height, width)
        row, column, sign, undecided = self._next()
        top, left = int(row * (height - side)), int(column * (width - side))
        self.window = (slice(None), slice(None), slice(top, top + side), slice(left, left + side))
        self.before = self.points[self.window].clone()
        painted = torch.where(sign > 0, self.high[self.window], self.low[self.window])
        if undecided:
            painted = torch.where(sign == 0, self.before, painted)
        self.points[self.window] = painted
        return (painted != self.before).flatten(1).any(dim=1)

    def accept(self, better: Tensor) -> None:
        """Keep the square on these examples, and take it off the others."""
        self.points[self.window] = torch.where(better.view(-1, 1, 1, 1), self.points[self.window], self.before)

    def _next(self) -> tuple[Tensor, Tensor, Tensor, bool]:
        if not self.ahead:
            channels = self.points.shape[1]
            numbers = self.stream.common(AHEAD * (2 + channels)).view(AHEAD, 2 + channels)
            drawn = (2 * numbers[:, 2:] - 1).sign()
            signs = upload(drawn, self.points).view(AHEAD, 1, channels, 1, 1)
            undecided = (drawn == 0).any(dim=1).tolist()
            self.ahead = list(zip(numbers[:, 0], numbers[:, 1], signs, undecided, strict=True))[::-1]
        return self.ahead.pop()
