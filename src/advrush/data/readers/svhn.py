"""SVHN in its canonical form: train_32x32.mat and test_32x32.mat."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from advrush.data.dataset import Split
from advrush.data.raw import Raw, Reader, split_of
from advrush.errors import DataError


def find(name: str, data_dir: Path) -> tuple[Reader, list[Path]] | None:
    """Return a reader of the two .mat files in `data_dir`, or None."""
    train, test = data_dir / "train_32x32.mat", data_dir / "test_32x32.mat"
    if not train.is_file():
        return None
    return lambda: Raw(_read(train), _read(test), tuple("0123456789")), [train, test]


def _read(path: Path) -> Split:
    """Read X (H, W, C, N) and y (N, 1), where the digit 0 has the label 10."""
    from scipy.io import loadmat

    if not path.is_file():
        raise DataError(f"{path}: is not there; SVHN has train_32x32.mat and test_32x32.mat")
    try:
        content = loadmat(path, variable_names=("X", "y"))
        images, labels = content["X"].transpose(3, 0, 1, 2), content["y"].ravel().astype(np.int64)
    except Exception as error:
        raise DataError(f"{path}: truncated or not an SVHN file ({error})") from None
    return split_of(images, np.where(labels == 10, 0, labels), str(path))
