"""The class that a model tells of each image."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from advrush.attacks.passes.chunks import predict
from advrush.errors import ModelContractError


def told(model: nn.Module, x: Tensor) -> Tensor:
    """Return the class (N,) with the largest logit for images (N, C, H, W). Raises as `largest` does."""
    return largest(predict(model, x))


def largest(logits: Tensor) -> Tensor:
    """Return the index (N,) of the largest of each row of logits (N, K).

    Raises ModelContractError where some are not numbers or infinite: `argmax` would take a nan for the largest, and an
    image on which a model breaks down would count as an adversarial example.
    """
    sound = torch.isfinite(logits).all(dim=1)
    if not bool(sound.all()):
        raise ModelContractError(
            f"the model's logits are not finite for {int((~sound).sum())} of {len(logits)} images in [0, 1]: no "
            "class can be told. Look for a square root, a logarithm, a division or an overflow in the model"
        )
    return logits.argmax(dim=1)
