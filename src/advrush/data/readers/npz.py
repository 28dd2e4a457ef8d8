"""NumPy archives: train.npz and test.npz, or one file."""

from __future__ import annotations

import zipfile
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from advrush.data.known import Known
from advrush.data.raw import Raw, Source, class_names, hold_out, split_of
from advrush.errors import DataError
from advrush.reading.bounds import LARGEST_SET, check_size
from advrush.reading.gate import reason

Arrays = dict[str, Any]
NAMES = ("images", "labels", "class_names", "x_train", "y_train", "x_test", "y_test")
"""The arrays that are read."""


def find(name: str, data_dir: Path, counts: Known | None) -> Source | None:
    """Return train.npz and test.npz (perhaps validation.npz) in `data_dir`, or the file `data_dir` itself."""
    if data_dir.is_file():
        return (
            Source("an npz file", str(data_dir), (data_dir,), lambda: _one(data_dir))
            if data_dir.suffix == ".npz"
            else None
        )
    train, test, held = (data_dir / f"{part}.npz" for part in ("train", "test", "validation"))
    if not train.is_file() and not test.is_file():
        return None
    files = (train, test, held) if held.is_file() else (train, test)
    return Source("train.npz and test.npz", str(data_dir), files, lambda: _several(files))


def _several(files: tuple[Path, ...]) -> Raw:
    """Read `images` uint8 (N, H, W, C), `labels` (N,) and perhaps `class_names` of each file."""
    for path in files:
        if not path.is_file():
            raise DataError(f"{path}: is not there; expected train.npz and test.npz, both")
    data = [_open(path) for path in files]
    splits = [
        split_of(*_pair(part, "images", "labels", path), str(path)) for part, path in zip(data, files, strict=True)
    ]
    told = [(path, part["class_names"]) for path, part in zip(files, data, strict=True) if "class_names" in part]
    for path, names in told[1:]:
        if list(map(str, np.ravel(names))) != list(map(str, np.ravel(told[0][1]))):
            raise DataError(f"{path}: other class_names than {told[0][0].name}; its labels stand for other classes")
    names = told[0][1] if told else None
    classes = class_names(splits[0].labels.tolist(), names)
    return Raw(splits[0], splits[1], classes, *splits[2:])


def _one(path: Path) -> Raw:
    """Read x_train, y_train, x_test, y_test; or images and labels, of which a fifth of each class is for testing."""
    data = _open(path)
    if "x_train" in data:
        train = split_of(*_pair(data, "x_train", "y_train", path), str(path))
        test = split_of(*_pair(data, "x_test", "y_test", path), str(path))
    else:
        train, test = hold_out(split_of(*_pair(data, "images", "labels", path), str(path)))
    labels = [*train.labels.tolist(), *test.labels.tolist()]
    return Raw(train, test, class_names(labels, data.get("class_names")))


def _open(path: Path) -> Arrays:
    try:
        with zipfile.ZipFile(path) as archive:
            records = {record.filename.removesuffix(".npy"): record for record in archive.infolist()}
            wanted = {name: record for name, record in records.items() if name in NAMES}
            check_size(path, sum(record.file_size for record in wanted.values()), LARGEST_SET)
            found = {name: _array(archive, record) for name, record in wanted.items()}
            return {**dict.fromkeys(list(records)[:20]), **found}
    except DataError:
        raise
    except Exception as error:  # zip, zlib, numpy and pickle refusals: all mean the same to the user
        raise DataError(f"{path}: truncated or not an npz file of plain arrays ({reason(error)})") from None


def _array(archive: zipfile.ZipFile, record: zipfile.ZipInfo) -> Any:
    """Return one array; ValueError where its header claims another size than the archive has for it."""
    with archive.open(record) as file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(file)
        claimed = prod(shape) * dtype.itemsize
        if dtype.hasobject or not 0 <= claimed <= record.file_size:
            raise ValueError(f"{record.filename} claims {shape} of {dtype} in {record.file_size} bytes")
    with archive.open(record) as file:
        return np.lib.format.read_array(file, allow_pickle=False)


def _pair(data: Arrays, images: str, labels: str, path: Path) -> tuple[Any, Any]:
    if images not in data or labels not in data:
        raise DataError(f"{path}: holds {', '.join(data) or 'nothing'}; expected arrays {images} and {labels}")
    y = data[labels]
    return data[images], y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
