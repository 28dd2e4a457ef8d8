"""Adversarial training of the supernet, the alternative to the regularizer that Table 5 compares with."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor, nn

from advrush.attacks import FGSM, PGD
from advrush.models.supernet import Supernet
from advrush.searching.objectives import AlphaStep, Batch, validation_step


@dataclass(frozen=True)
class AdversarialValidation:
    """Alpha minimizes the validation loss on adversarial examples; the attack works in [0, 1] pixels, BN in eval mode.

    `mean` and `std` undo the normalization of the search's inputs. With `attack_weights` the weight step trains on
    adversarial examples as well.
    """

    attack: FGSM | PGD
    mean: tuple[float, ...]
    std: tuple[float, ...]
    attack_weights: bool = False

    def alpha_step(self, supernet: Supernet, batch: Batch) -> AlphaStep:
        """Return grad_alpha of the adversarial validation loss (train-mode BN in that pass)."""
        return validation_step(supernet, self._perturb(supernet, batch, batch.x_val, batch.y_val), batch.y_val)

    def weight_inputs(self, supernet: Supernet, batch: Batch) -> Tensor:
        """Return the training inputs, attacked where asked for."""
        return self._perturb(supernet, batch, batch.x, batch.y) if self.attack_weights else batch.x

    def _perturb(self, supernet: Supernet, batch: Batch, x: Tensor, y: Tensor) -> Tensor:
        mean, std = (_by_channel(values, x.dtype, x.device) for values in (self.mean, self.std))
        model = _OnPixels(supernet, self.mean, self.std)
        pixels = (x * std + mean).clamp(0, 1)
        x_adv = self.attack.perturb(model, pixels, y, generator=batch.generator)
        return (x_adv - mean) / std


class _OnPixels(nn.Module):
    """The supernet for pixels in [0, 1], as `Normalized` computes it; made anew at each step, it copies nothing."""

    def __init__(self, supernet: Supernet, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.supernet, self.mean, self.std = supernet, mean, std

    def forward(self, x: Tensor) -> Tensor:
        mean, std = (_by_channel(values, torch.float32, x.device).to(x.dtype) for values in (self.mean, self.std))
        logits: Tensor = self.supernet((x - mean) / std)
        return logits


@lru_cache(maxsize=32)
def _by_channel(values: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return values (1, C, 1, 1) on the device: made once, since the host would wait for each copy."""
    return torch.tensor(values, dtype=dtype, device=device).view(1, -1, 1, 1)
