"""SVHN in its canonical form: train_32x32.mat and test_32x32.mat."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from advrush.data.dataset import Split
from advrush.data.known import Known
from advrush.data.raw import Raw, Source, split_of
from advrush.data.readers.mat import read_arrays
from advrush.errors import DataError
from advrush.reading.gate import reason
from advrush.reading.text import read_bytes

FILES = ("train_32x32.mat", "test_32x32.mat")
LARGEST = 2**31
"""Bytes of a file and of an array: the largest published one, extra_32x32.mat, has 1.6 GB."""


def find(name: str, data_dir: Path, counts: Known | None) -> Source | None:
    """Return the two .mat files in `data_dir`, or None where neither is there."""
    train, test = (data_dir / file for file in FILES)
    if not train.is_file() and not test.is_file():
        return None

    def read() -> Raw:
        return Raw(_read(train), _read(test), tuple("0123456789"))

    return Source("SVHN .mat files", str(data_dir), (train, test), read)


def _read(path: Path) -> Split:
    """Read X (H, W, C, N) and y (N, 1), where the digit 0 has the label 10."""
    if not path.is_file():
        raise DataError(f"{path}: is not there; expected {FILES[0]} and {FILES[1]}, both")
    content = read_bytes(path, "an SVHN file", DataError, largest=LARGEST)
    try:
        arrays = read_arrays(content, ("X", "y"), LARGEST)
        images, labels = arrays["X"].transpose(3, 0, 1, 2), arrays["y"].ravel()
        if not np.isfinite(labels).all() or (labels != np.floor(labels)).any():
            raise ValueError("labels that are no whole numbers")
        labels = labels.astype(np.int64)
    except Exception as error:  # damaged bytes can fail in any way
        raise DataError(f"{path}: truncated or not an SVHN file ({reason(error)}); expected arrays X and y") from None
    return split_of(images, np.where(labels == 10, 0, labels), str(path))
