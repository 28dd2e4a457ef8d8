"""MNIST and Fashion-MNIST in their canonical form: four idx files, gzipped or not."""

from __future__ import annotations

import gzip
import struct
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from advrush.data.dataset import Split
from advrush.data.known import Known
from advrush.data.raw import Raw, Source, split_of
from advrush.errors import DataError
from advrush.reading.gate import reason

PREFIXES = {"train": "train", "test": "t10k"}
CLASSES = {
    "mnist": tuple("0123456789"),
    "fashion_mnist": (
        "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
    ),
}  # fmt: skip
SIDE = 28
LARGEST = 2**28
"""Bytes that a header may claim: a damaged one must not fill the memory."""


def find(name: str, data_dir: Path, counts: Known | None) -> Source | None:
    """Return the four idx files in `data_dir` (each as it is or with .gz), or None where none is there."""
    names = [f"{prefix}-{kind}-ubyte" for prefix in PREFIXES.values() for kind in ("images-idx3", "labels-idx1")]
    files = tuple(_place(data_dir, file) for file in names)
    if not any(file.is_file() for file in files):
        return None
    return Source("idx files", str(data_dir), files, partial(_read, name, files, counts))


def _place(data_dir: Path, file: str) -> Path:
    plain = data_dir / file
    return plain if plain.is_file() else data_dir / f"{file}.gz"


def _read(name: str, files: tuple[Path, ...], counts: Known | None) -> Raw:
    expected = (counts.train, counts.test) if counts is not None else (None, None)
    train = _split(files[0], files[1], expected[0])
    return Raw(train, _split(files[2], files[3], expected[1]), CLASSES[name])


def _split(images: Path, labels: Path, expected: int | None) -> Split:
    return split_of(_array(images, 3, expected), _array(labels, 1, expected), str(images))


def _array(path: Path, dimensions: int, expected: int | None) -> Any:
    """Return the bytes of an idx file as an array; its header says 0, 0, 8 (bytes), the dimensions, their sizes."""
    if not path.is_file():
        raise DataError(f"{path}: is not there; expected four idx files, images and labels of train and t10k")
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            head = file.read(4 + 4 * dimensions)
            if head[:4] != bytes((0, 0, 8, dimensions)) or len(head) != 4 + 4 * dimensions:
                raise DataError(f"{path}: begins with {head[:4].hex() or 'nothing'}; expected 000008{dimensions:02x}")
            shape = struct.unpack(f">{dimensions}I", head[4:])
            if expected is not None and shape[0] != expected:
                raise DataError(f"{path}: {shape[0]} examples; expected {expected}; if a sample, set data.partial")
            size = prod(shape)
            if size > LARGEST or any(side != SIDE for side in shape[1:]):
                raise DataError(f"{path}: the header claims {shape}; expected images of {SIDE}x{SIDE}: damaged")
            content = file.read(size + 1)
    except DataError:
        raise
    except Exception as error:  # damaged bytes can fail in any way
        raise DataError(f"{path}: truncated or not a readable idx file ({reason(error)})") from None
    if len(content) != size:
        found = f"{len(content)}" if len(content) < size else "more"
        raise DataError(f"{path}: {found} bytes after the header; expected {size}: truncated or damaged")
    return np.frombuffer(content, np.uint8).reshape(shape).astype(np.uint8 if dimensions > 1 else np.int64)
