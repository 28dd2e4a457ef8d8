"""What can be evaluated: a finished training, a weights file, or a factory of one's own."""

from __future__ import annotations

import hashlib
import importlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from advrush.config import check
from advrush.data import DataConfig
from advrush.errors import AdvrushError, RunError
from advrush.models.weights.saved import load, read_classes
from advrush.reading.gate import reason
from advrush.run import Run


@dataclass(frozen=True)
class Target:
    """A network that takes [0, 1] pixels, its label, a digest of its weights, and its data if it tells them."""

    model: nn.Module
    label: str
    digest: str
    data: DataConfig | None = None
    classes: tuple[str, ...] | None = None
    """Names of the classes that it was trained on, where it tells them."""


def find_target(text: str) -> Target:
    """Return the network that `text` names: RUN, FILE.safetensors or python:MODULE:FACTORY.

    `MODULE` is imported from the working directory or the installed packages; `FACTORY` is called without arguments
    and returns an nn.Module that takes [0, 1] pixels. Raises AdvrushError saying what is wrong with it.
    """
    model, label = _from_python(text) if text.startswith("python:") else _from_files(Path(text))
    classes = None if text.startswith("python:") else read_classes(Path(text))
    return Target(model.eval(), label, weights_digest(model), classes=classes)


def as_target(target: str | os.PathLike[str] | nn.Module | Target) -> Target:
    """Return the network itself, or the one that a text or a run names (see `find_target`)."""
    if isinstance(target, Target):
        return target
    if isinstance(target, nn.Module):
        return Target(target, type(target).__name__, weights_digest(target))
    return find_target(os.fspath(target))


def weights_digest(model: nn.Module) -> str:
    """Return 8 hexadecimal digits of the contents of all parameters and buffers."""
    digest = hashlib.sha256()
    for name, value in model.state_dict().items():
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
    inside = (path.parent / "config.toml").is_file()  # a checkpoint of a training: named after both
    folder = path.resolve().parent
    return load(path), f"{folder.parent.name}/{folder.name}/{path.stem}" if inside else path.stem


def _from_python(text: str) -> tuple[nn.Module, str]:
    parts = text.split(":")
    check(len(parts) == 3 and all(parts), "target", text, "python:MODULE:FACTORY, such as python:my_models:resnet")
    _, module_name, factory_name = parts
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        raise AdvrushError(f"target {text!r}: cannot import {module_name} ({reason(error)})") from None
    except SystemExit:
        raise AdvrushError(f"target {text!r}: importing {module_name} ends the program") from None
    if not callable(factory := getattr(module, factory_name, None)):
        raise AdvrushError(f"target {text!r}: module {module_name} has no {factory_name} that can be called")
    try:
        model = factory()
    except AdvrushError:
        raise
    except (Exception, SystemExit) as error:
        raise AdvrushError(
            f"target {text!r}: {factory_name}() fails ({type(error).__name__}: {reason(error)}); expected a function "
            "without arguments that returns an nn.Module"
        ) from None
    check(isinstance(model, nn.Module), "target", text, f"a factory of an nn.Module (it gave {type(model).__name__})")
    return model, f"{module_name}:{factory_name}"
