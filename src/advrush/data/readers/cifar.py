"""CIFAR-10 and CIFAR-100 in their canonical python and binary forms, packed or unpacked."""

from __future__ import annotations

import io
import pickle
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from advrush.data.dataset import Split
from advrush.data.raw import Raw, Reader, split_of
from advrush.errors import DataError

PIXELS = 3 * 32 * 32


@dataclass(frozen=True)
class Layout:
    """Folder and files of one form; `label` is the key (python) or the byte (binary) of the label."""

    archive: str
    folder: str
    train: tuple[str, ...]
    test: str
    names: str
    label: Any
    key: bytes = b""
    record: int = 0


LAYOUTS = {
    "cifar10": (
        Layout("cifar-10-python.tar.gz", "cifar-10-batches-py", tuple(f"data_batch_{i}" for i in range(1, 6)),
               "test_batch", "batches.meta", b"labels", b"label_names"),
        Layout("cifar-10-binary.tar.gz", "cifar-10-batches-bin", tuple(f"data_batch_{i}.bin" for i in range(1, 6)),
               "test_batch.bin", "batches.meta.txt", 0, record=1 + PIXELS),
    ),
    "cifar100": (
        Layout("cifar-100-python.tar.gz", "cifar-100-python", ("train",), "test", "meta", b"fine_labels",
               b"fine_label_names"),
        Layout("cifar-100-binary.tar.gz", "cifar-100-binary", ("train.bin",), "test.bin", "fine_label_names.txt", 1,
               record=2 + PIXELS),
    ),
}  # fmt: skip

Open = Callable[[str], bytes]


def find(name: str, data_dir: Path) -> tuple[Reader, list[Path]] | None:
    """Return a reader of the canonical CIFAR files below `data_dir`, or None."""
    for layout in LAYOUTS[name]:
        for root in (data_dir, data_dir / layout.folder):
            if (root / layout.train[0]).is_file() and (root / layout.names).is_file():
                paths = [root / file for file in (*layout.train, layout.test, layout.names)]
                return _reader(layout, root, lambda file, root=root: _from_folder(root, file)), paths  # type: ignore[misc]
        archive = data_dir if data_dir.name == layout.archive else data_dir / layout.archive
        if archive.is_file():
            return lambda: _from_archive(layout, archive), [archive]
    return None


def _reader(layout: Layout, where: Path, read: Open) -> Reader:
    return lambda: _read(layout, where, read)


def _from_folder(root: Path, file: str) -> bytes:
    try:
        return (root / file).read_bytes()
    except OSError as error:
        raise DataError(f"{root / file}: cannot be read ({error.strerror}); the archive is incomplete") from None


def _from_archive(layout: Layout, archive: Path) -> Raw:
    try:
        with tarfile.open(archive) as tar:
            contents = {}
            for file in (*layout.train, layout.test, layout.names):
                member = tar.extractfile(f"{layout.folder}/{file}")
                assert member is not None
                contents[file] = member.read()
    except (KeyError, AssertionError):
        raise DataError(f"{archive}: has no {layout.folder}/{file}; not the canonical archive") from None
    except (tarfile.TarError, EOFError, OSError) as error:
        raise DataError(f"{archive}: truncated or not a tar archive ({error})") from None
    return _read(layout, archive, contents.__getitem__)


def _read(layout: Layout, where: Path, read: Open) -> Raw:
    parts = [_batch(layout, f"{where}/{file}" if where.is_dir() else f"{where}:{file}", read(file)) for file in layout.train]
    images = np.concatenate([images for images, _ in parts])
    labels = np.concatenate([labels for _, labels in parts])
    test_images, test_labels = _batch(layout, f"{where}: {layout.test}", read(layout.test))
    names = _names(layout, f"{where}: {layout.names}", read(layout.names))

    def split(images: Any, labels: Any) -> Split:
        return split_of(images.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), labels, str(where))

    return Raw(split(images, labels), split(test_images, test_labels), names)


def _batch(layout: Layout, where: str, content: bytes) -> tuple[Any, Any]:
    if layout.record:
        if not content or len(content) % layout.record:
            raise DataError(f"{where}: {len(content)} bytes; expected whole records of {layout.record}: truncated")
        records = np.frombuffer(content, np.uint8).reshape(-1, layout.record)
        return records[:, -PIXELS:], records[:, layout.label].astype(np.int64)
    data = _unpickle(content, where)
    try:
        images, labels = np.asarray(data[b"data"]), np.asarray(data[layout.label], dtype=np.int64)
    except (KeyError, TypeError, ValueError):
        raise DataError(f"{where}: holds no images and labels; not a CIFAR batch") from None
    if images.dtype != np.uint8 or images.shape != (len(labels), PIXELS):
        raise DataError(f"{where}: images {images.dtype} {images.shape} for {len(labels)} labels; expected uint8 (N, {PIXELS})")
    return images, labels


def _names(layout: Layout, where: str, content: bytes) -> tuple[str, ...]:
    if layout.record:
        return tuple(content.decode().split())
    names = _unpickle(content, where).get(layout.key, [])
    return tuple(name.decode() for name in names)


class _Restricted(pickle.Unpickler):
    """Admits numpy arrays and byte strings, refuses everything else by name: unpickling can run code."""

    ALLOWED = frozenset(
        {
            ("numpy.core.multiarray", "_reconstruct"),
            ("numpy._core.multiarray", "_reconstruct"),
            ("numpy", "ndarray"),
            ("numpy", "dtype"),
            ("_codecs", "encode"),
        }
    )

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no CIFAR batch does: refused")
        if name == "_reconstruct":
            module = np.zeros(0).__reduce__()[0].__module__  # type: ignore[union-attr]
        return super().find_class(module, name)


def _unpickle(content: bytes, where: str) -> dict[bytes, Any]:
    try:
        data = _Restricted(io.BytesIO(content), encoding="bytes").load()
    except Exception as error:
        raise DataError(f"{where}: not a readable CIFAR batch ({error})") from None
    if not isinstance(data, dict):
        raise DataError(f"{where}: holds a {type(data).__name__}; expected the dictionary of a CIFAR batch")
    return data
