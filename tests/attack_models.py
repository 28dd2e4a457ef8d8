"""Small networks for the tests of attacks."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

CHECKPOINTS = Path(__file__).resolve().parents[2] / "shared" / "checkpoints"
BRACKETS = {"cnn_a_adv": (0.485, 0.500), "cnn_a_mix4": (0.565, 0.575)}


class Pixels(nn.Module):
    """The normalization that the checkpoints were trained with."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor([125.3, 123.0, 113.9]).view(1, 3, 1, 1) / 255)
        self.register_buffer("std", torch.tensor([63.0, 62.1, 66.7]).view(1, 3, 1, 1) / 255)

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.std


def small(classes: int = 10, channels: int = 3, seed: int = 0, size: int = 8) -> nn.Module:
    """Return a network with batch normalization and dropout in eval mode, its weights large enough to be fragile."""
    generator = torch.Generator().manual_seed(seed)
    model = nn.Sequential(
        nn.Conv2d(channels, 6, 3, stride=2, padding=1),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Flatten(),
        nn.Linear(6 * ((size + 1) // 2) ** 2, classes),
    )
    with torch.no_grad():
        for parameter in model.parameters():
            center = 1.0 if parameter is model[1].weight else 0.0
            parameter.copy_(center + torch.randn(parameter.shape, generator=generator) * 0.5)
    return model.eval()


def images(model: nn.Module, count: int = 8, channels: int = 3, seed: int = 0, size: int = 8) -> tuple[Tensor, Tensor]:
    """Return random images and the model's own labels of them."""
    x = torch.rand(count, channels, size, size, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        return x, model(x).argmax(dim=1)


def checkpoint(name: str) -> nn.Module:
    """Return one of the two robust networks; the test is skipped where they are absent."""
    if not (CHECKPOINTS / f"{name}.pt").is_file():
        pytest.skip(f"needs the robust networks ../shared/checkpoints beside the checkout ({CHECKPOINTS} is absent)")
    network = nn.Sequential(
        nn.Conv2d(3, 16, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(2048, 100),
        nn.ReLU(),
        nn.Linear(100, 10),
    )
    network.load_state_dict(torch.load(CHECKPOINTS / f"{name}.pt", weights_only=True))
    return nn.Sequential(Pixels(), network).eval()


def checkpoint_images() -> tuple[Tensor, Tensor]:
    """Return the 200 images that the bracket was proven on."""
    with np.load(CHECKPOINTS / "images200.npz") as arrays:
        pictures, labels = arrays["images"], arrays["labels"]
    x = torch.from_numpy(pictures).permute(0, 3, 1, 2).contiguous().float() / 255
    return x, torch.from_numpy(labels).long()
