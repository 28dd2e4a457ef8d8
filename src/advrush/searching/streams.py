"""Batches of the bilevel search: one stream for the weights, one for the architecture."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from advrush.config import check
from advrush.data import Augment, Dataset, Split, epoch_batches, split_half
from advrush.parallel import Parallel
from advrush.searching.config import SearchConfig
from advrush.seeds import Purpose, derive_seed

Pair = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Streams:
    """Pairs of normalized batches, one for each level; all randomness depends on the seed and the epoch alone."""

    config: SearchConfig
    weights: Split
    alphas: Split
    mean: Tensor
    std: Tensor
    processes: Parallel

    @classmethod
    def of(cls, config: SearchConfig, dataset: Dataset, processes: Parallel) -> Streams:
        """Split the training images evenly and disjointly, or not at all where the authors' code is followed."""
        train = dataset.train.to(processes.device)
        halves = (train, train) if config.departs("no_split") else split_half(train, config.seed)
        most = len(halves[0])
        check(config.batch_size <= most, "batch_size", config.batch_size, f"at most {most}, the images of one level")
        dtype = getattr(torch, config.dtype)
        mean, std = (
            torch.tensor(value, dtype=dtype, device=processes.device).view(1, -1, 1, 1)
            for value in (dataset.mean, dataset.std)
        )
        return cls(config, *halves, mean, std, processes)

    @property
    def steps(self) -> int:
        """Return the steps of one epoch."""
        return len(self.weights) // self.config.batch_size

    def epoch(self, epoch: int) -> Iterator[tuple[Pair, Pair]]:
        """Yield ((x, y), (x_val, y_val)) for each step: this process's rows, normalized."""
        if self.config.departs("no_split"):
            first = self._stream(self.weights, self.config.seed, epoch, shuffle=False)
            second = self._first_batch(epoch)
        else:
            first = self._stream(self.weights, self.config.seed, epoch)
            second = self._stream(self.alphas, derive_seed(Purpose.SECOND_LEVEL, self.config.seed), epoch)
        for (x, y), (x_val, y_val) in zip(first, second, strict=True):
            yield (self._normalize(x), y), (self._normalize(x_val), y_val)

    def _stream(self, split: Split, seed: int, epoch: int, *, shuffle: bool = True) -> Iterator[Pair]:
        config, processes = self.config, self.processes
        augment = Augment(crop=config.crop, flip=config.flip)
        return epoch_batches(
            split, batch_size=config.batch_size, seed=seed, epoch=epoch, augment=augment, rank=processes.rank,
            world=processes.world, shuffle=shuffle,
        )  # fmt: skip

    def _first_batch(self, epoch: int) -> Iterator[Pair]:
        """Yield the first images of the set at every step, newly augmented."""
        first = self.alphas.subset(torch.arange(self.config.batch_size))
        for step in range(self.steps):
            yield from self._stream(
                first, derive_seed(Purpose.SECOND_LEVEL, self.config.seed), epoch * self.steps + step, shuffle=False
            )

    def _normalize(self, x: Tensor) -> Tensor:
        return (x.to(self.mean.dtype) - self.mean) / self.std
