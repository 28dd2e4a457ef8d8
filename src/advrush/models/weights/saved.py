"""Trained networks on disk: weights and all that is needed to build the network again, in one safetensors file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import nn

from advrush import config as configs
from advrush.errors import AdvrushError, RunError
from advrush.models.build import build
from advrush.models.normalize import Normalized
from advrush.models.weights.hub import FILE, PREFIX, download
from advrush.reading.gate import reading
from advrush.reading.tensors import read_metadata, read_shapes, read_tensors
from advrush.reading.text import as_object, parse_json

WEIGHTS = "weights.safetensors"
BEST = "best.safetensors"
DROP = "drop.safetensors"
"""The network shortly after the first drop of the learning rate."""
CLASSES = "classes"
"""Entry of the metadata: the names of the classes as a JSON list."""
LARGEST_SIDE = 2**14
"""Pixels of an image's side that a file may ask for."""
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
        """Read what `to_metadata` wrote. Raises RunError if it is something else."""
        fields = as_object(parse_json(metadata.get("blueprint", ""), "blueprint"), "blueprint")
        return configs.from_dict(cls, {key: value for key, value in fields.items() if value is not None})


def load(path: Path | str) -> nn.Module:
    """Return a trained network in eval mode: a plain nn.Module that takes [0, 1] pixels.

    `path` is a training run (its best checkpoint where it kept one, else the last), a .safetensors file of one, or
    "hf:USER/REPO", which downloads what `push_to_hub` wrote. Raises RunError where there is no network in it.
    """
    if str(path).startswith(PREFIX):
        found = download(str(path).removeprefix(PREFIX))
        if found is None:
            raise RunError(f"{path}: no {FILE} in it; expected a repository that push_to_hub wrote")
        path = found
    path = _weights_of(path)
    blueprint = read_blueprint(path)
    _check_size(blueprint, path)
    with reading(path, "the weights of a network"):
        model = blueprint.build()
        try:
            model.load_state_dict(read_tensors(path))
        except RuntimeError as error:
            raise RunError(f"{path}: its tensors do not fit the network that its metadata describe: {error}") from None
        return model.eval()


def _check_size(blueprint: Blueprint, path: Path) -> None:
    """Raise RunError where the metadata describe a network larger than the file, before memory is taken for it."""
    shapes = read_shapes(path)
    widest = max((size for shape in shapes.values() for size in shape), default=0)
    wide = ("num_classes", "in_channels", "channels")
    bounds = {**dict.fromkeys(wide, widest), "layers": len(shapes), "image_size": LARGEST_SIDE}
    for name, bound in bounds.items():
        value = getattr(blueprint, name)
        if value is not None and not 1 <= value <= bound:
            raise RunError(f"{path}: its tensors do not fit the network that its metadata describe: {name} is {value}")
    with reading(path, "the weights of a network"), torch.device("meta"):
        try:
            own = {name: tuple(value.shape) for name, value in blueprint.build().state_dict().items()}
        except NotImplementedError:  # a primitive of one's own that looks at its initial numbers
            return
    odd = [name for name in {**own, **shapes} if own.get(name) != shapes.get(name)]
    if odd:
        raise RunError(
            f"{path}: its tensors do not fit the network that its metadata describe: {odd[0]} is "
            f"{shapes.get(odd[0], 'missing')}, expected {own.get(odd[0], 'none')}"
        )


def read_blueprint(path: Path | str) -> Blueprint:
    """Return what builds the network at `path` (see `load`); RunError where there is none."""
    path = _weights_of(path)
    metadata = read_metadata(path)
    try:
        return Blueprint.from_metadata(metadata)
    except AdvrushError:
        raise RunError(
            f"{path}: its metadata do not describe a network; expected a file that `advrush train` or `import` wrote"
        ) from None


def class_metadata(names: Sequence[str] | None) -> dict[str, str]:
    """Return the metadata entry that `read_classes` reads; none where the names are not known."""
    return {} if names is None else {CLASSES: json.dumps(list(names))}


def read_classes(path: Path | str) -> tuple[str, ...] | None:
    """Return the names of the classes that the network at `path` was trained on; None where the file tells none.

    Raises RunError for names that are no list of texts.
    """
    path = _weights_of(path)
    text = read_metadata(path).get(CLASSES)
    names = [] if text is None else parse_json(text, path)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise RunError(f"{path}: its metadata hold no list of class names")
    return tuple(names) or None


def _weights_of(path: Path | str) -> Path:
    configs.check_path("path", path, "the path of a training run or of a .safetensors file of one")
    path = Path(path)
    if not path.is_dir():
        return path
    found = [path / name for name in (BEST, WEIGHTS) if (path / name).is_file()]
    if not found:
        raise RunError(f"{path}: no {WEIGHTS} in it; expected the directory of a finished training")
    return found[0]
