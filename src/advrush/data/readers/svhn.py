"""SVHN in its canonical form: train_32x32.mat and test_32x32.mat."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from advrush.data.dataset import Split
from advrush.data.known import Known
from advrush.data.raw import Raw, Source, split_of
from advrush.errors import DataError

FILES = ("train_32x32.mat", "test_32x32.mat")


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
    from scipy.io import loadmat

    if not path.is_file():
        raise DataError(f"{path}: is not there; expected {FILES[0]} and {FILES[1]}, both")
    try:
        content = loadmat(path, variable_names=("X", "y"))
        images, labels = content["X"].transpose(3, 0, 1, 2), content["y"].ravel().astype(np.int64)
    except Exception as error:  # whatever scipy and zlib raise for a broken file
        reason = f"{type(error).__name__}: {error}"
        raise DataError(f"{path}: truncated or not an SVHN file ({reason}); expected arrays X and y") from None
    return split_of(images, np.where(labels == 10, 0, labels), str(path))
