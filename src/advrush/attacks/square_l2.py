"""Square Attack's proposals in the L2 ball: mass moves from one window of the perturbation to another."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from advrush.attacks.ensemble.random_streams import RandomStream
from advrush.attacks.passes.upload import upload

TINY = 1e-12
TILES = 5
"""The first perturbation is a grid of about this many bumps each way."""


class SquareL2:
    """The points of a batch and one proposal for each."""

    def __init__(self, x: Tensor, eps: float, stream: RandomStream) -> None:
        self.x, self.eps, self.stream = x, eps, stream
        self.rows = torch.arange(len(x))
        self.bumps: dict[int, Tensor] = {}
        self.points = self._at(self._tiles())
        self.candidates = self.points

    def keep(self, rows: Tensor) -> None:
        """Go on with these examples alone."""
        self.x, self.points, self.rows = self.x[rows], self.points[rows], self.rows[rows.cpu()]

    def propose(self, side: int) -> Tensor:
        """Move a bump; return True (N,): every proposal is worth a query."""
        channels, height, width = self.x.shape[1:]
        side = max(side, 3)
        side = min(side + (side % 2 == 0), height, width)
        to, source = self._window(side), self._window(side)
        delta = self.points - self.x
        both = torch.zeros_like(delta[:1, :1])
        both[to], both[source] = 1.0, 1.0
        room = (torch.full_like(self._norm(delta), self.eps) ** 2 - self._norm(delta) ** 2).clamp_min(0.0)
        budget = (room / channels + _spatial(delta * both) ** 2).sqrt()
        bump = self._bump(side) * self._signs()
        bump = bump + delta[to] / (TINY + _spatial(delta[to]))
        delta[source] = 0.0
        delta[to] = bump / (TINY + _spatial(bump)) * budget
        self.candidates = self._at(delta)
        return torch.ones(len(self.x), dtype=torch.bool, device=self.x.device)

    def accept(self, better: Tensor) -> None:
        """Take these examples' proposals."""
        self.points = torch.where(better.view(-1, 1, 1, 1), self.candidates, self.points)

    def _tiles(self) -> Tensor:
        height, width = self.x.shape[2:]
        side = max(height // TILES, 1)
        delta = torch.zeros_like(self.x)
        first = (height - side * TILES) // 2
        for top in range(first, first + height // side * side, side):
            for left in range(first, first + width // side * side, side):
                window = delta[:, :, top : top + side, left : left + side]
                bump = self._bump(side)[..., : window.shape[2], : window.shape[3]]
                window += bump * self._signs()
        return delta

    def _at(self, delta: Tensor) -> Tensor:
        return (self.x + delta / (self._norm(delta) + TINY) * self.eps).clamp(0.0, 1.0)

    def _norm(self, delta: Tensor) -> Tensor:
        return (delta**2).flatten(1).sum(-1).sqrt().view(-1, 1, 1, 1)

    def _window(self, side: int) -> tuple[slice, ...]:
        top = int(self.stream.common(1) * (self.x.shape[2] - side))
        left = int(self.stream.common(1) * (self.x.shape[3] - side))
        return (slice(None), slice(None), slice(top, top + side), slice(left, left + side))

    def _bump(self, side: int) -> Tensor:
        if side not in self.bumps:
            self.bumps[side] = upload(_two_hills(side), self.x)
        return self.bumps[side].T if bool(self.stream.common(1) > 0.5) else self.bumps[side]

    def _signs(self) -> Tensor:
        numbers = self.stream.each((self.x.shape[1], 1, 1), rows=self.rows)
        return upload((2 * numbers - 1).sign(), self.x)


def _spatial(delta: Tensor) -> Tensor:
    return (delta**2).sum(dim=(-2, -1), keepdim=True).sqrt()


@lru_cache(maxsize=64)
def _two_hills(side: int) -> Tensor:
    """Return a (side, side) pattern of unit norm: a hill above, a valley below."""
    upper = side // 2
    pattern = torch.cat([_hill(upper, side), -_hill(side - upper, side)])
    return pattern / (pattern**2).sum().sqrt()


def _hill(height: int, width: int) -> Tensor:
    """Return squares of height 1/k^2, the k-th reaching k - 1 from the center, piled up and scaled to norm 1."""
    row = (torch.arange(height) - height // 2).abs()
    column = (torch.arange(width) - width // 2).abs()
    reach = torch.maximum(row[:, None], column[None, :])
    pile = torch.zeros(height, width)
    for k in range(max(height // 2, width // 2) + 1):
        pile += (reach <= k).float() * (1.0 / torch.tensor(float(k + 1)) ** 2)
    return pile / (pile**2).sum().sqrt()
