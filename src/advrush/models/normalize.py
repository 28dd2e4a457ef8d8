"""Normalization as a network's first layer, so that everything outside sees pixels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from advrush.config import check
from advrush.models.errors import ModelError
from advrush.models.network import Network


class Normalized(nn.Module):
    """Take pixels in [0, 1], pass (x - mean) / std per channel to `model`.

    `mean` and `std` travel in the state dict, so that saved weights carry their normalization.
    Raises ConfigError where they differ in length or a std is not positive.
    """

    def __init__(self, model: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        check(len(mean) == len(std) and len(mean) > 0, "mean, std", (mean, std), "one value per channel each")
        check(all(value > 0 for value in std), "std", tuple(std), "positive values")
        self.model = model
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(list(mean)).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(list(std)).view(1, -1, 1, 1))

    def normalize(self, x: Tensor) -> Tensor:
        """Return (x - mean) / std in x's precision; ModelError for images of other channels than it has means."""
        if self.mean.shape[1] not in (1, x.shape[1]):
            raise ModelError(f"normalization of {self.mean.shape[1]} channels; the images have {x.shape[1]}")
        return (x - self.mean.to(x.dtype)) / self.std.to(x.dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Return the model's output for pixels."""
        return self.model(self.normalize(x))  # type: ignore[no-any-return]

    def forward_with_auxiliary(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits and auxiliary logits for pixels; ConfigError where there is no such head."""
        network = self.model
        if not isinstance(network, Network):
            check(False, "auxiliary", type(network).__name__, "a Network built with auxiliary=True")
        assert isinstance(network, Network)
        return network.forward_with_auxiliary(self.normalize(x))
