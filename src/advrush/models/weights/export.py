"""Export a network to safetensors, torch.export or ONNX, and verify the exported copy."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from advrush.config import check
from advrush.models.cell import plain_modules
from advrush.models.errors import ModelError
from advrush.modes import evaluating

TOLERANCE = 1e-4
"""Largest difference of logits accepted, relative to the largest logit (at least 1): sums are reordered."""


def export(
    model: nn.Module,
    path: Path,
    *,
    image_size: int = 32,
    in_channels: int = 3,
    metadata: Mapping[str, str] | None = None,
) -> float:
    """Write `model`, in eval mode and on the CPU, in the format that the suffix of `path` names.

    .safetensors holds the weights and `metadata`; .pt2 (torch.export) and .onnx hold the computation too, for
    any batch size. Returns the largest difference between the logits of the file, read back and run on
    random pixels, and those of the model. Raises ConfigError for another suffix, ModelError where a
    package is absent (extra `export`) or the outputs differ. The file appears only when it passed.
    """
    check(path.suffix in FORMATS, "export", path.name, f"a name that ends in {', '.join(FORMATS)}")
    generator = torch.Generator().manual_seed(0)
    x = torch.rand((3, in_channels, image_size, image_size), generator=generator)
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    path.parent.mkdir(parents=True, exist_ok=True)
    with evaluating(model), _on_cpu(model), plain_modules(), torch.no_grad():
        expected = model(x)
        try:
            actual = FORMATS[path.suffix](model, temporary, x, dict(metadata or {}))
            difference = (actual - expected).abs().max().item()
            limit = TOLERANCE * max(1.0, expected.abs().max().item())
            if not difference <= limit:
                raise ModelError(f"{path}: its logits differ by {difference:.2g}, more than {limit:.2g}")
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    return float(difference)


def _safetensors(model: nn.Module, path: Path, x: Tensor, metadata: dict[str, str]) -> Tensor:
    tensors = {name: tensor.detach().contiguous().clone() for name, tensor in model.state_dict().items()}
    path.write_bytes(safetensors.torch.save(tensors, metadata=metadata))
    read = safetensors.torch.load_file(path)
    return torch.func.functional_call(model, read, (x,))  # type: ignore[no-any-return]


def _pt2(model: nn.Module, path: Path, x: Tensor, metadata: dict[str, str]) -> Tensor:
    program = torch.export.export(model, (x[:2],), dynamic_shapes=({0: torch.export.Dim("batch")},))
    with path.open("wb") as file:
        torch.export.save(program, file)
    with path.open("rb") as file:
        return torch.export.load(file).module()(x)  # type: ignore[no-any-return]


def _onnx(model: nn.Module, path: Path, x: Tensor, metadata: dict[str, str]) -> Tensor:
    runtime = _required("onnxruntime")
    _required("onnxscript")
    with _quiet("torch.onnx", "onnxscript"), warnings.catch_warnings():
        # The exporter calls functions that torch itself has deprecated; nobody here can change that.
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            model,
            (x[:2],),
            path,
            dynamo=True,
            external_data=False,
            verbose=False,
            input_names=["pixels"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
        )
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(None, {"pixels": x.numpy()})[0])


FORMATS: Mapping[str, Callable[[nn.Module, Path, Tensor, dict[str, str]], Tensor]] = {
    ".safetensors": _safetensors,
    ".pt2": _pt2,
    ".onnx": _onnx,
}
"""Suffix to writer: each writes the file, reads it back, and returns its logits for x."""


def _required(package: str) -> Any:
    try:
        return importlib.import_module(package)
    except ImportError:
        raise ModelError(f"ONNX needs {package}: pip install 'advrush[export]'") from None


@contextlib.contextmanager
def _on_cpu(model: nn.Module) -> Iterator[None]:
    """Move the model to the CPU and back to the device of its first parameter."""
    device = next(model.parameters()).device
    model.cpu()
    try:
        yield
    finally:
        model.to(device)


@contextlib.contextmanager
def _quiet(*names: str) -> Iterator[None]:
    """Keep the exporter's notes on its own progress off the terminal; warnings and errors still show."""
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
