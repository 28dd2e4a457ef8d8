"""NumPy archives: train.npz and test.npz, or one file with both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from advrush.data.raw import Raw, Reader, class_names, split_of
from advrush.errors import DataError


def find(data_dir: Path) -> tuple[Reader, list[Path]] | None:
    """Return a reader of train.npz and test.npz in `data_dir`, or of the file `data_dir` itself, or None."""
    if data_dir.is_file() and data_dir.suffix == ".npz":
        return lambda: _one(data_dir), [data_dir]
    train, test = data_dir / "train.npz", data_dir / "test.npz"
    if not train.is_file():
        return None
    if not test.is_file():
        raise DataError(f"{data_dir}: has train.npz but no test.npz")
    return lambda: _two(train, test), [train, test]


def _two(train: Path, test: Path) -> Raw:
    first, second = _open(train, ("images", "labels")), _open(test, ("images", "labels"))
    names = first.get("class_names", second.get("class_names"))
    split = split_of(first["images"], first["labels"], str(train))
    return Raw(split, split_of(second["images"], second["labels"], str(test)), class_names(split.labels.tolist(), names))


def _one(path: Path) -> Raw:
    """Read x_train, y_train, x_test, y_test (Keras's names) and perhaps class_names."""
    data = _open(path, ("x_train", "y_train", "x_test", "y_test"))
    train = split_of(data["x_train"], data["y_train"].ravel(), str(path))
    test = split_of(data["x_test"], data["y_test"].ravel(), str(path))
    return Raw(train, test, class_names(train.labels.tolist(), data.get("class_names")))


def _open(path: Path, needed: tuple[str, ...]) -> dict[str, Any]:
    try:
        with np.load(path, allow_pickle=False) as content:
            data = dict(content)
    except Exception as error:
        raise DataError(f"{path}: truncated or not an npz file ({error})") from None
    missing = [name for name in needed if name not in data]
    if missing:
        raise DataError(f"{path}: has {', '.join(data)}; expected arrays {', '.join(needed)}")
    return data
