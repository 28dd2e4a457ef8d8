"""Batches from uint8 tensors where they lie: seeded order, batched crop, flip and cutout, no workers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from advrush.config import check
from advrush.data.dataset import Split


@dataclass(frozen=True)
class Augment:
    """Random changes of training images."""

    crop: int = 4
    """Zero padding of the random crop, in pixels (0: no crop)."""
    flip: bool = True
    """Mirror half of the images left to right."""
    cutout: int = 0
    """Side of the square that is blackened around a random pixel (0: none)."""

    def __post_init__(self) -> None:
        check(self.crop >= 0, "augment.crop", self.crop, "a number of pixels >= 0")
        check(self.cutout >= 0, "augment.cutout", self.cutout, "a number of pixels >= 0")


def epoch_batches(
    split: Split,
    *,
    batch_size: int,
    seed: int,
    epoch: int,
    augment: Augment | None = None,
    rank: int = 0,
    world: int = 1,
    drop_last: bool = True,
    shuffle: bool = True,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield (x float32 (n, C, H, W) in [0, 1], y int64 (n,)) on the split's device, each example once an epoch.

    Order and augmentation depend on (seed, epoch) alone: every process draws the same for the whole batch of
    `batch_size` and takes its rows rank::world, so N processes see what one would.
    """
    generator = torch.Generator().manual_seed((seed * 1_000_003 + epoch) % 2**63)
    order = torch.randperm(len(split), generator=generator) if shuffle else torch.arange(len(split))
    stop = len(split) - batch_size + 1 if drop_last else len(split)
    for start in range(0, stop, batch_size):
        rows = order[start : start + batch_size]
        draws = _Draws.of(augment, len(rows), split.images.shape[-2:], generator) if augment else None
        mine = slice(rank, None, world)
        chosen = split.subset(rows[mine])
        x = chosen.images.float() / 255
        yield (x if augment is None or draws is None else draws.at(mine).apply(augment, x)), chosen.labels


def batches(split: Split, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield (x, y) in the split's order, unchanged, the last batch perhaps smaller."""
    for start in range(0, len(split), batch_size):
        rows = slice(start, start + batch_size)
        yield split.images[rows].float() / 255, split.labels[rows]


def split_half(split: Split, seed: int) -> tuple[Split, Split]:
    """Return two disjoint halves of equal size, drawn from the seed; of an odd number one example is left out."""
    order = torch.randperm(len(split), generator=torch.Generator().manual_seed(seed))
    half = len(split) // 2
    return split.subset(order[:half]), split.subset(order[half : 2 * half])


@dataclass(frozen=True)
class _Draws:
    """The random numbers of one batch: crop offsets, flips, cutout centers; all int64 (N,) but the flips."""

    top: Tensor
    left: Tensor
    flip: Tensor
    row: Tensor
    column: Tensor

    @classmethod
    def of(cls, augment: Augment, count: int, size: torch.Size, generator: torch.Generator) -> _Draws:
        height, width = int(size[0]), int(size[1])
        limits = (2 * augment.crop + 1, 2 * augment.crop + 1, 2, height, width)
        top, left, flip, row, column = (torch.randint(limit, (count,), generator=generator) for limit in limits)
        return cls(top, left, flip.bool(), row, column)

    def at(self, rows: slice) -> _Draws:
        return _Draws(self.top[rows], self.left[rows], self.flip[rows], self.row[rows], self.column[rows])

    def apply(self, augment: Augment, x: Tensor) -> Tensor:
        if augment.crop:
            x = crop(x, augment.crop, self.top.to(x.device), self.left.to(x.device))
        if augment.flip:
            x = torch.where(self.flip.to(x.device).view(-1, 1, 1, 1), x.flip(-1), x)
        if augment.cutout:
            x = cutout(x, augment.cutout, self.row.to(x.device), self.column.to(x.device))
        return x


def crop(x: Tensor, padding: int, top: Tensor, left: Tensor) -> Tensor:
    """Cut a window of the original size out of each zero-padded image, at its own offset (N,)."""
    n, c, height, width = x.shape
    padded = pad(x, (padding,) * 4)
    rows = top[:, None] + torch.arange(height, device=x.device)
    columns = left[:, None] + torch.arange(width, device=x.device)
    image = torch.arange(n, device=x.device)[:, None, None, None]
    channel = torch.arange(c, device=x.device)[None, :, None, None]
    return padded[image, channel, rows[:, None, :, None], columns[:, None, None, :]]


def cutout(x: Tensor, side: int, row: Tensor, column: Tensor) -> Tensor:
    """Blacken the square of `side` pixels around each image's own center (N,), clipped at the border."""
    height, width = x.shape[-2:]

    def inside(length: int, center: Tensor) -> Tensor:
        first = (center - side // 2)[:, None]
        positions = torch.arange(length, device=x.device)[None]
        return (positions >= first) & (positions < first + side)

    hole = inside(height, row)[:, None, :, None] & inside(width, column)[:, None, None, :]
    return x.masked_fill(hole, 0.0)
