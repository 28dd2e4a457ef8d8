"""Random numbers for a batch: by batch, as in the reference implementation, or by example.

`BatchStream` takes them from generators in the order in which the published implementation does, so that the same seed
and batch size give its outcomes. `ExampleStream` derives them from the seed and the example's index alone, so that
outcomes do not depend on batch size, order or the other examples.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol

import torch
from torch import Tensor

Order = Literal["batch", "example"]


class RandomStream(Protocol):
    """Random numbers for the examples of one batch; each call gives new ones."""

    def each(self, shape: tuple[int, ...], *, rows: Tensor | None = None, normal: bool = False) -> Tensor:
        """Return numbers (n, *shape) for the examples (for those of `rows`): in [0, 1), or normal."""
        ...

    def common(self, count: int) -> Tensor:
        """Return `count` numbers in [0, 1) that the whole batch shares."""
        ...

    def again(self, rows: Tensor) -> RandomStream:
        """Return other numbers for `rows` of the batch, for a second attempt at them."""
        ...

    def of(self, rows: Tensor) -> RandomStream:
        """Return the source of numbers for `rows` of the batch: those that they get where all draw."""
        ...


@dataclass(frozen=True)
class Group:
    """Examples that share one generator: it draws `size` samples, of which rows `positions` are used."""

    generator: torch.Generator
    size: int
    positions: Tensor


@dataclass(frozen=True)
class BatchStream:
    """Numbers drawn for whole groups at a time."""

    groups: tuple[Group, ...]

    def each(self, shape: tuple[int, ...], *, rows: Tensor | None = None, normal: bool = False) -> Tensor:
        """Return numbers (n, *shape); `rows` draws for these alone, which takes a single group."""
        sample = torch.randn if normal else torch.rand
        if rows is not None:
            (group,) = self.groups
            return _drawn(sample, (len(rows), *shape), group.generator)
        parts = [_drawn(sample, (g.size, *shape), g.generator)[g.positions] for g in self.groups]
        return torch.cat(parts)

    def common(self, count: int) -> Tensor:
        """Return `count` numbers of the single group."""
        (group,) = self.groups
        return _drawn(torch.rand, (count,), group.generator)

    def again(self, rows: Tensor) -> RandomStream:
        """Return numbers by place in the batch: no published order says how a second attempt stream."""
        return ExampleStream(0, rows.cpu())

    def of(self, rows: Tensor) -> RandomStream:
        """Return a source that draws for the whole batch and gives the numbers of `rows`."""
        return _Part(self, rows.cpu())


@dataclass
class ExampleStream:
    """Numbers computed from (seed, index, number of the call, position) by the mixing function of SplitMix64."""

    seed: int
    indices: Tensor
    calls: int = field(default=0)

    def each(self, shape: tuple[int, ...], *, rows: Tensor | None = None, normal: bool = False) -> Tensor:
        """Return numbers (n, *shape) on the CPU."""
        indices = self.indices if rows is None else self.indices[rows]
        uniform = self._uniform(indices + 1, math.prod(shape) * (2 if normal else 1))
        if normal:
            radius = (-2 * torch.log1p(-uniform[:, ::2])).sqrt()
            uniform = radius * torch.cos(2 * math.pi * uniform[:, 1::2])
        return uniform.view(len(indices), *shape)

    def common(self, count: int) -> Tensor:
        """Return the numbers of an index that no example has."""
        return self._uniform(torch.zeros(1, dtype=torch.int64), count)[0]

    def again(self, rows: Tensor) -> RandomStream:
        """Return numbers that depend on the round and the example alone, not on how many were drawn before."""
        return ExampleStream(self.seed, self.indices[rows.cpu()], calls=(self.calls >> 32 << 32) + (1 << 31))

    def of(self, rows: Tensor) -> RandomStream:
        """Return a source that draws for the whole batch and gives the numbers of `rows`."""
        return _Part(self, rows.cpu())

    def _uniform(self, indices: Tensor, count: int) -> Tensor:
        key = _mix(_mix(torch.tensor(self.seed)) + self.calls)
        self.calls += 1
        bits = _mix(_mix(key + indices)[:, None] + torch.arange(count))
        return ((bits >> 40) & 0xFFFFFF).float() / 2**24


@dataclass(frozen=True)
class _Part:
    """Numbers of some rows of a batch, whoever else is left in it."""

    whole: RandomStream
    rows: Tensor

    def each(self, shape: tuple[int, ...], *, rows: Tensor | None = None, normal: bool = False) -> Tensor:
        numbers = self.whole.each(shape, normal=normal)[self.rows]
        return numbers if rows is None else numbers[rows]

    def common(self, count: int) -> Tensor:
        return self.whole.common(count)

    def again(self, rows: Tensor) -> RandomStream:
        return self.whole.again(self.rows[rows.cpu()])

    def of(self, rows: Tensor) -> RandomStream:
        return _Part(self.whole, self.rows[rows.cpu()])


def _drawn(sample: Callable[..., Tensor], shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Return numbers on the CPU from a generator that may belong to a GPU."""
    return sample(shape, generator=generator, device=generator.device).cpu()


def _mix(z: Tensor) -> Tensor:
    """Return well-mixed 64-bit integers (Steele, Lea and Flood 2014); products wrap, shifts are made logical."""
    z = z + _signed(0x9E3779B97F4A7C15)
    z = (z ^ ((z >> 30) & (2**34 - 1))) * _signed(0xBF58476D1CE4E5B9)
    z = (z ^ ((z >> 27) & (2**37 - 1))) * _signed(0x94D049BB133111EB)
    return z ^ ((z >> 31) & (2**33 - 1))


def _signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value
