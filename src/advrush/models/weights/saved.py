"""Trained networks on disk: weights and all that is needed to build the network again, in one safetensors file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import nn

from advrush.errors import RunError
from advrush.models.build import build
from advrush.models.normalize import Normalized

WEIGHTS = "weights.safetensors"
BEST = "best.safetensors"
DROP = "drop.safetensors"
"""The network shortly after the first drop of the learning rate."""
CHECKPOINTS = {"last": WEIGHTS, "best": BEST, "drop": DROP}
"""What a training keeps: the last network, the best on held-out images, the one after the first drop of the rate."""


@dataclass(frozen=True)
class Blueprint:
    """All arguments of `build`, and the normalization that the network begins with."""

    arch: str
    num_classes: int = 10
    image_size: int = 32
    in_channels: int = 3
    channels: int | None = None
    layers: int | None = None
    auxiliary: bool = False
    mean: Sequence[float] | None = None
    std: Sequence[float] | None = None

    def build(self, *, drop_path: float = 0.0) -> nn.Module:
        """Return the network with fresh weights, normalization first if there is one."""
        model = build(
            self.arch,
            num_classes=self.num_classes,
            image_size=self.image_size,
            in_channels=self.in_channels,
            channels=self.channels,
            layers=self.layers,
            auxiliary=self.auxiliary,
            drop_path=drop_path,
        )
        return model if self.mean is None or self.std is None else Normalized(model, self.mean, self.std)

    def to_metadata(self) -> dict[str, str]:
        """Return the metadata entry of a safetensors file."""
        return {"blueprint": json.dumps(asdict(self))}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> Blueprint:
        """Read what `to_metadata` wrote; KeyError, TypeError or ValueError if it is something else."""
        fields: dict[str, Any] = json.loads(metadata["blueprint"])
        return cls(**fields)


def load(path: Path | str) -> nn.Module:
    """Return a trained network in eval mode: a plain nn.Module that takes [0, 1] pixels.

    `path` is a training run (its best checkpoint where it kept one, else the last) or a .safetensors file of one.
    Raises RunError where there is no network in it.
    """
    path = _weights_of(Path(path))
    model = read_blueprint(path).build()
    try:
        model.load_state_dict(safetensors.torch.load_file(path))
    except RuntimeError as error:
        raise RunError(f"{path}: its tensors do not fit the network that its metadata describe: {error}") from None
    return model.eval()


def read_blueprint(path: Path | str) -> Blueprint:
    """Return what builds the network at `path` (see `load`); RunError where there is none."""
    path = _weights_of(Path(path))
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {})
    except (OSError, safetensors.SafetensorError) as error:
        raise RunError(f"{path}: not a readable safetensors file ({error})") from None
    try:
        return Blueprint.from_metadata(metadata)
    except (KeyError, TypeError, ValueError):
        raise RunError(
            f"{path}: its metadata do not describe a network; expected a file that `advrush train` or `import` wrote"
        ) from None


def _weights_of(path: Path) -> Path:
    if not path.is_dir():
        return path
    found = [path / name for name in (BEST, WEIGHTS) if (path / name).is_file()]
    if not found:
        raise RunError(f"{path}: no {WEIGHTS} in it; expected the directory of a finished training")
    return found[0]
