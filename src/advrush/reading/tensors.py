"""Checkpoints and safetensors files that others may have written."""

from __future__ import annotations

import io
import os
import pickle
import pickletools
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from advrush.errors import AdvrushError, RunError
from advrush.reading.gate import reading

LONGEST_PICKLE = 2**26
"""Bytes of a checkpoint's list of tensors and plain values."""
OLD_PICKLES = 5
"""Pickles in front of the tensors of a file in the old form: magic number, version, system, values, keys."""
SLACK = 2**20
"""Bytes that tensors may take beyond the size of their file."""


def read_tensors(path: Path, error: type[AdvrushError] = RunError) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file. Raises `error`, naming it, where it is absent or damaged."""
    with reading(path, "a readable safetensors file", error):
        return safetensors.torch.load_file(path)


def read_metadata(path: Path, error: type[AdvrushError] = RunError) -> dict[str, str]:
    """Return the texts that a safetensors file carries. Raises `error`, naming it, where it is absent or damaged."""
    with reading(path, "a readable safetensors file", error), safetensors.safe_open(path, framework="pt") as file:
        return dict(file.metadata() or {})


def read_shapes(path: Path, error: type[AdvrushError] = RunError) -> dict[str, tuple[int, ...]]:
    """Return the shapes that a safetensors file's header gives; no tensor is read. Raises as `read_tensors` does."""
    with reading(path, "a readable safetensors file", error), safetensors.safe_open(path, framework="pt") as file:
        return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 (no mapping)


def load_pickled(path: Path, *, checked: bool = False) -> Any:
    """Return what a file of `torch.save` holds: tensors and plain values, nothing else is unpickled.

    What it would take is bounded before it is taken: the records of its archive must be stored as they are and fit
    into the file, and no tensor may claim more elements than the file has bytes for. `checked` compares the checksums
    of the records too, which files of other programs may lack. Raises ValueError for a file that breaks a bound, and
    whatever zipfile and torch raise for one that is damaged or holds other objects.
    """
    size = os.stat(path).st_size
    if zipfile.is_zipfile(path):
        _check_archive(path, size, checked)
    else:
        _check_old(path)
    content = torch.load(path, map_location="cpu", weights_only=True)
    for tensor in _tensors(content):
        if tensor.numel() * tensor.element_size() > size + SLACK:
            raise ValueError(f"a tensor of shape {tuple(tensor.shape)} in a file of {size} bytes")
    return content


def read_pickled(path: Path, error: type[AdvrushError] = RunError, *, checked: bool = False) -> Any:
    """Return what `load_pickled` does. Raises `error`, naming the file, for anything that it raises."""
    with reading(path, "a checkpoint", error):
        try:
            return load_pickled(path, checked=checked)
        except pickle.UnpicklingError as failure:  # torch's own words advise to load it all the same
            if (name := culprit(failure)) is None:
                raise ValueError("it holds values that cannot be unpickled") from None
            raise error(
                f"{path}: refused, since it holds more than tensors and plain values: {name}. "
                "Where you trust the file, load it yourself and save its state dict alone."
            ) from None


def culprit(error: Exception) -> str | None:
    """Return the name in torch's message "... GLOBAL argparse.Namespace was not ...", else None.

    That message as a whole is not for users: it advises to load the file all the same.
    """
    words = str(error).split()
    return words[words.index("GLOBAL") + 1] if "GLOBAL" in words[:-1] else None


def _check_archive(path: Path, size: int, checked: bool) -> None:
    """Raise ValueError for an archive whose records are packed, or claim more bytes than the file has."""
    with zipfile.ZipFile(path) as archive:
        records = archive.infolist()
        packed = any(record.compress_type != zipfile.ZIP_STORED for record in records)
        if packed or sum(record.file_size for record in records) > size:
            raise ValueError("its records are packed or overlap, and would expand")
        for record in records:
            if record.filename.endswith(".pkl"):
                if record.file_size > LONGEST_PICKLE:
                    raise ValueError(f"a list of values of {record.file_size} bytes")
                _check_pickle(io.BytesIO(archive.read(record)))
        if checked and (broken := archive.testzip()) is not None:
            raise ValueError(f"the record {broken} does not have its checksum")


def _check_old(path: Path) -> None:
    """Check the pickles at the front of a file in the form that torch wrote before it had archives."""
    with path.open("rb") as file:
        head = io.BytesIO(file.read(LONGEST_PICKLE))
    for _ in range(OLD_PICKLES):
        _check_pickle(head)


def _check_pickle(content: IO[bytes]) -> None:
    """Raise ValueError for a pickle that makes a buffer of a length of its own choice."""
    for _, argument, _ in pickletools.genops(content):
        if isinstance(argument, str) and argument.endswith("bytearray"):
            raise ValueError("it asks for a buffer of a length of its own choice")


def _tensors(value: Any) -> Iterator[Tensor]:
    """Yield each tensor of nested mappings and lists once, however often they hold each other."""
    seen: set[int] = set()
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, Tensor):
            yield item
        elif isinstance(item, Mapping | list | tuple | set) and id(item) not in seen:
            seen.add(id(item))
            stack.extend(item.values() if isinstance(item, Mapping) else item)
