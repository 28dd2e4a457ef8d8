"""Robust accuracy against the number of PGD steps (Figure A6), all in one pass, and against the radius."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn

from advrush.attacks.passes.fast_model import correct
from advrush.attacks.pgd import PGD
from advrush.attacks.registry import STEP_FRACTION
from advrush.config import check
from advrush.evaluation.intervals import wilson


@dataclass(frozen=True)
class StepSweep:
    """PGD's examples after several numbers of steps: the points of one curve, read off a single run."""

    attack: PGD
    counts: tuple[int, ...]

    def __post_init__(self) -> None:
        ascending = all(a < b for a, b in pairwise(self.counts))
        check(bool(self.counts) and ascending, "sweep_steps", self.counts, "different numbers in ascending order")

    @property
    def names(self) -> tuple[str, ...]:
        """Return a name for each number of steps: that of the attack with so many."""
        return tuple(replace(self.attack, steps=count).name for count in self.counts)

    def flags(self, model: nn.Module, x: Tensor, y: Tensor, seed: int) -> Tensor:
        """Return True (counts, N) where the model is right about an example after so many steps."""
        attack = replace(self.attack, seed=seed)
        return torch.stack([correct(model, points, y) for points in attack.iterates(model, x, y, self.counts)])


@dataclass(frozen=True)
class RadiusSweep:
    """PGD in balls of several radii, its step in proportion."""

    attack: PGD
    radii: tuple[float, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Return a name for each radius."""
        return tuple(f"{self.attack.name}@{eps:g}" for eps in self.radii)

    def flags(self, model: nn.Module, x: Tensor, y: Tensor, seed: int) -> Tensor:
        """Return True (radii, N) where the model is right about an example attacked within the radius."""
        attacks = [replace(self.attack, eps=e, step_size=e / STEP_FRACTION, seed=seed) for e in self.radii]
        return torch.stack([correct(model, attack(model, x, y), y) for attack in attacks])


Sweep = StepSweep | RadiusSweep


def points(kind: Literal["steps", "eps"], places: Sequence[float], flags: Sequence[Tensor]) -> list[dict[str, Any]]:
    """Return a row for each point of a sweep: where it is, robust accuracy and its Wilson interval."""
    rows = []
    for place, flag in zip(places, flags, strict=True):
        correct, total = int(flag.sum()), len(flag)
        rows.append({kind: place, "robust_acc": correct / total, "interval": list(wilson(correct, total))})
    return rows
