"""The interface of an attack: called with a model, examples and labels, it returns adversarial examples."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn


@runtime_checkable
class Attack(Protocol):
    """A frozen dataclass that turns examples into adversarial ones.

    Called with (model, x, y): x (N, C, H, W) in [0, 1], y (N,) labels; returns x_adv of x's shape, dtype and
    device, in [0, 1] and in the attack's ball. The same seed gives the same examples. The model's modes, flags,
    gradients and buffers and the global random state are left as they were.
    """

    @property
    def name(self) -> str:
        """A short name, unique among attacks with other settings that are commonly run together."""
        ...

    @property
    def seed(self) -> int:
        """Seed of the random starts."""
        ...

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """Return adversarial examples."""
        ...


def seeded(seed: int) -> torch.Generator:
    """Return a CPU generator of its own: the same numbers for every device, the global one untouched."""
    return torch.Generator().manual_seed(seed)
