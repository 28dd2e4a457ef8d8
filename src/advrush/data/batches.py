"""Batches from uint8 tensors where they lie: seeded order, batched crop, flip and cutout, no workers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from advrush.config import check
from advrush.data.augment import Augment, AugmentParameters
from advrush.data.dataset import Split
from advrush.seeds import Purpose, derive_seed


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
    mean: Sequence[float] | None = None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Return an iterator of (x float32 (n, C, H, W) in [0, 1], y int64 (n,)) on the split's device.

    Each example comes once an epoch; `drop_last` leaves out the rest that fills no batch. Order and augmentation
    depend on (seed, epoch) alone: every process draws the same for the whole batch of `batch_size` and takes its
    rows rank::world, so N processes see what one would. `mean` is the data's mean color in [0, 1] (see `Augment`).

    Raises ConfigError for a batch size that no batch could have, and for one smaller than `world`.
    """
    most = len(split) if drop_last else max(len(split), batch_size)
    check(world <= batch_size <= most, "batch_size", batch_size, f"{world} to {most}, the images there are")
    generator = torch.Generator().manual_seed(derive_seed(Purpose.DATA_ORDER, seed, epoch))
    order = torch.randperm(len(split), generator=generator) if shuffle else torch.arange(len(split))
    params = None if augment is None else AugmentParameters.of(augment, len(split), split.images.shape[-2:], generator)
    color = None if mean is None else torch.tensor(mean, dtype=torch.float32)
    mine = _Batches(split, order, augment, params, color).to(split.images.device)
    stop = len(split) - batch_size + 1 if drop_last else len(split)
    return (mine.at(start + rank, min(start + batch_size, len(split)), world) for start in range(0, stop, batch_size))


def batches(split: Split, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield (x, y) in the split's order, unchanged, the last batch perhaps smaller."""
    for start in range(0, len(split), batch_size):
        rows = slice(start, start + batch_size)
        yield split.images[rows].float() / 255, split.labels[rows]


def split_half(split: Split, seed: int) -> tuple[Split, Split]:
    """Return two disjoint halves of equal size, drawn from the seed; an odd example is left out."""
    order = torch.randperm(len(split), generator=torch.Generator().manual_seed(seed))
    half = len(split) // 2
    return split.subset(order[:half]), split.subset(order[half : 2 * half])


@dataclass(frozen=True, eq=False)
class _Batches:
    """One epoch's order and random numbers, sent to the device once: no transfer and no wait in a batch."""

    split: Split
    order: Tensor
    augment: Augment | None
    params: AugmentParameters | None
    mean: Tensor | None

    def to(self, device: torch.device) -> _Batches:
        params = None if self.params is None else self.params.to(device)
        mean = None if self.mean is None else self.mean.to(device)
        return _Batches(self.split, self.order.to(device), self.augment, params, mean)

    def at(self, start: int, stop: int, step: int) -> tuple[Tensor, Tensor]:
        rows = slice(start, stop, step)
        chosen = self.split.subset(self.order[rows])
        images = chosen.images
        if self.augment is not None and self.params is not None:
            images = self.augment.apply(images, self.params.at(rows), self.mean)
        return images if images.is_floating_point() else images.float() / 255, chosen.labels
