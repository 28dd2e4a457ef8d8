"""Load the network to evaluate: a finished training, a weights file, or a source by name."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from advrush.attacks.gate import check_values
from advrush.config import check
from advrush.data import DataConfig
from advrush.errors import AdvrushError, ModelContractError, RunError
from advrush.evaluation.normalization import Normalization, normalization
from advrush.evaluation.sources import find_source
from advrush.evaluation.trained_data import data_of, place_of
from advrush.models.entry import Entry
from advrush.models.normalize import Normalized
from advrush.models.weights.import_onnx import import_onnx
from advrush.models.weights.saved import load, read_classes
from advrush.reading.gate import reason
from advrush.run import Run

PICKLED = (".pt", ".pth", ".ckpt", ".tar", ".bin", ".pkl")


@dataclass(frozen=True)
class Target:
    """A network that takes [0, 1] pixels, its label, a digest of its weights, and its data if it tells them."""

    model: nn.Module
    label: str
    digest: str
    data: DataConfig | None = None
    classes: tuple[str, ...] | None = None
    """Names of the classes that it was trained on, where it tells them."""
    place: Path | None = None
    """Where its data lay, where it tells that."""


def find_target(text: str) -> Target:
    """Return the network that `text` names: a run, a file ending in .safetensors or .onnx, or a form of `SOURCES`.

    The network takes [0, 1] pixels, or is normalized by `as_target`. Raises AdvrushError saying what is wrong with it.
    """
    found = find_source(text)
    model, label = found if found is not None else _from_files(Path(text))
    saved = found is None and not text.endswith(".onnx")
    if not saved:
        return Target(model.eval(), label, weights_digest(model))
    return Target(model.eval(), label, weights_digest(model), data_of(text), read_classes(Path(text)), place_of(text))


def as_target(
    target: str | os.PathLike[str] | nn.Module | Target,
    *,
    normalize: str | Normalization | None = None,
    output: str | int | None = None,
) -> Target:
    """Return the network itself, or the one that a text or a run names (see `find_target`).

    Args:
        target: what is to be attacked.
        normalize: for a network that takes normalized images: a data set's name, "imagenet", "MEAN/STD" with numbers
            by channel, or a pair (mean, std); these become its first layer.
        output: the entry of what it returns that holds the logits, where it returns more than these.
    """
    if isinstance(target, Target):
        found = target
    elif isinstance(target, nn.Module):
        found = Target(target, type(target).__name__, weights_digest(target))
    else:
        named = isinstance(target, str | os.PathLike)
        check(named, "target", target, "an nn.Module, a run, a weights file or a source by name")
        found = find_target(os.fspath(target))
    if normalize is None and output is None:
        return found
    training, model = found.model.training, found.model
    model = model if output is None else Entry(model, output)
    model = model if normalize is None else Normalized(model, *normalization(normalize))
    return replace(found, model=model.train(training), digest=weights_digest(model))


def weights_digest(model: nn.Module) -> str:
    """Return 8 hexadecimal digits of the contents of all parameters and buffers.

    Raises ModelContractError for a model whose weights have no values yet, or cannot be listed.
    """
    check_values(model)
    try:
        state = model.state_dict()
    except Exception as error:  # code of others
        raise ModelContractError(f"the model's state_dict() fails: {reason(error)}") from error
    digest = hashlib.sha256()
    for name, value in state.items():
        digest.update(name.encode())
        digest.update(_content(value))
    return digest.hexdigest()[:8]


def _content(value: object) -> bytes:
    """Return the bytes of an entry of a state dict, of any dtype and layout; of extra state its text."""
    if isinstance(value, tuple | list):
        return b"".join(_content(part) for part in value)
    if not isinstance(value, Tensor):
        return repr(value).encode()
    value = value.detach().cpu()
    if value.is_quantized:
        return repr(value.qscheme()).encode() + _content(value.int_repr()) + _content(value.dequantize())
    value = value.to_dense() if value.layout != torch.strided else value
    return bytes(value.contiguous().reshape(-1).view(torch.uint8).numpy())


def _from_files(path: Path) -> tuple[nn.Module, str]:
    if not path.exists():
        raise RunError(f"{path}: no such run or weights file; `advrush runs` lists the runs")
    if path.is_dir():
        run = Run.at(path)
        run.result()
        return load(path), f"{run.stage}/{path.resolve().name}"
    if path.suffix == ".onnx":
        return import_onnx(path), path.stem
    if path.suffix == ".py":
        raise AdvrushError(f"target '{path}': name the network in it, or a function that returns one: {path}:net")
    if path.suffix in PICKLED:
        raise AdvrushError(
            f"target '{path}': a checkpoint of torch holds weights without their network; `advrush import` reads those "
            "of the published code, and a factory in a file builds any other: my_models.py:net"
        )
    inside = (path.parent / "config.toml").is_file()  # a checkpoint of a training: named after both
    folder = path.resolve().parent
    return load(path), f"{folder.parent.name}/{folder.name}/{path.stem}" if inside else path.stem
