"""CIFAR-10 and CIFAR-100 in their canonical python and binary forms, packed or unpacked."""

from __future__ import annotations

import gzip
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

from advrush.data.dataset import Split
from advrush.data.known import Known
from advrush.data.raw import Raw, Source, split_of
from advrush.data.readers.pickles import load_batch, texts
from advrush.errors import DataError
from advrush.reading.bounds import LARGEST_FILE, Bounded
from advrush.reading.gate import reason
from advrush.reading.text import read_bytes

PIXELS = 3 * 32 * 32
MOST_MEMBERS = 100
"""Files of an archive; the published ones have ten."""


@dataclass(frozen=True)
class Archive:
    """Folder and files of one form of a data set."""

    archive: str
    folder: str
    train: tuple[str, ...]
    test: str
    names: str
    label: str = ""
    """Key of the labels (python)."""
    key: str = ""
    """Key of the class names (python)."""
    header: int = 0
    """Bytes before the pixels of an example, the last of them the label (binary; 0: python)."""


ARCHIVES = {
    "cifar10": (
        Archive("cifar-10-python.tar.gz", "cifar-10-batches-py", tuple(f"data_batch_{i}" for i in range(1, 6)),
                "test_batch", "batches.meta", "labels", "label_names"),
        Archive("cifar-10-binary.tar.gz", "cifar-10-batches-bin", tuple(f"data_batch_{i}.bin" for i in range(1, 6)),
                "test_batch.bin", "batches.meta.txt", header=1),
    ),
    "cifar100": (
        Archive("cifar-100-python.tar.gz", "cifar-100-python", ("train",),
                "test", "meta", "fine_labels", "fine_label_names"),
        Archive("cifar-100-binary.tar.gz", "cifar-100-binary", ("train.bin",),
                "test.bin", "fine_label_names.txt", header=2),
    ),
}  # fmt: skip

Open = Callable[[str], bytes]


def find(name: str, data_dir: Path, counts: Known | None) -> Source | None:
    """Return the canonical CIFAR files in `data_dir`, unpacked or packed, or None."""
    for form in ARCHIVES[name]:
        every = (*form.train, form.test, form.names)
        for root in (data_dir / form.folder, data_dir):
            if any((root / file).is_file() for file in every):
                paths = tuple(root / file for file in every)
                read = partial(_read, form, root, partial(_from_folder, root), counts)
                return Source(f"the folder {form.folder}", str(root), paths, read)
    for form in ARCHIVES[name]:
        archive = data_dir if data_dir.name == form.archive else data_dir / form.archive
        if archive.is_file():
            read = partial(_from_archive, form, archive, counts)
            return Source(f"the archive {form.archive}", str(archive), (archive,), read)
    return None


def _from_folder(root: Path, file: str) -> bytes:
    try:
        return read_bytes(root / file, "a file of CIFAR", DataError, largest=LARGEST_FILE)
    except DataError as error:
        raise DataError(f"{error}; the data set is incomplete") from None


def _from_archive(form: Archive, archive: Path, counts: Known | None) -> Raw:
    """Read the files out of the archive; nothing is unpacked to disk."""
    wanted = {f"{form.folder}/{file}": file for file in (*form.train, form.test, form.names)}
    contents: dict[str, bytes] = {}
    try:
        with gzip.open(archive) as packed:
            stream = Bounded(cast(IO[bytes], packed), LARGEST_FILE, archive)
            with tarfile.open(fileobj=cast(IO[bytes], stream), mode="r|") as tar:
                for number, member in enumerate(tar):
                    if number > MOST_MEMBERS or member.issparse():
                        raise DataError(f"{archive}: more than {MOST_MEMBERS} files or files with holes in it")
                    file = wanted.get(member.name.removeprefix("./"))
                    content = tar.extractfile(member) if file is not None and member.isfile() else None
                    if file is not None and content is not None:
                        contents[file] = content.read()
            while stream.read(1 << 20):  # to its end, where gzip compares its checksum: tar stops before
                pass
    except DataError:
        raise
    except Exception as error:  # damaged bytes can fail in any way
        raise DataError(f"{archive}: truncated or not a tar archive ({reason(error)})") from None
    missing = [path for path, file in wanted.items() if file not in contents]
    if missing:
        raise DataError(f"{archive}: has no {missing[0]}; truncated, or not the canonical archive")
    return _read(form, archive, contents.__getitem__, counts)


def _read(form: Archive, where: Path, read: Open, counts: Known | None) -> Raw:
    each = (counts.train // len(form.train), counts.test) if counts is not None else (None, None)
    parts = [_batch(form, f"{where}/{file}", read(file), each[0]) for file in form.train]
    train = _split(np.concatenate([p for p, _ in parts]), np.concatenate([y for _, y in parts]), where)
    test = _split(*_batch(form, f"{where}/{form.test}", read(form.test), each[1]), where)
    return Raw(train, test, _names(form, f"{where}/{form.names}", read(form.names)))


def _split(pixels: Any, labels: Any, where: Path) -> Split:
    return split_of(pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), labels, str(where))


def _batch(form: Archive, where: str, content: bytes, expected: int | None) -> tuple[Any, Any]:
    """Return pixels uint8 (N, 3072) and labels int64 (N,) of one file; `expected` is the N it must have."""
    pixels, labels = _binary(form, where, content) if form.header else _python(form, where, content)
    if expected is not None and len(labels) != expected:
        raise DataError(f"{where}: {len(labels)} images; expected {expected}: truncated, or not the canonical file")
    return pixels, labels


def _binary(form: Archive, where: str, content: bytes) -> tuple[Any, Any]:
    record = form.header + PIXELS
    if not content or len(content) % record:
        raise DataError(f"{where}: {len(content)} bytes; expected whole records of {record}: truncated")
    records = np.frombuffer(content, np.uint8).reshape(-1, record)
    return records[:, form.header :], records[:, form.header - 1].astype(np.int64)


def _python(form: Archive, where: str, content: bytes) -> tuple[Any, Any]:
    data = load_batch(content, where)
    try:
        pixels, labels = data["data"], _labels(data[form.label])
    except (KeyError, TypeError, ValueError, OverflowError):
        raise DataError(f"{where}: holds {', '.join(list(data)[:20])}; expected data and {form.label}") from None
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.shape != (len(labels), PIXELS):
        found = f"{pixels.dtype} {pixels.shape}" if isinstance(pixels, np.ndarray) else type(pixels).__name__
        raise DataError(f"{where}: images {found} for {len(labels)} labels; expected uint8 (N, {PIXELS})")
    return pixels, labels


def _labels(values: Any) -> Any:
    """Return labels as int64 (N,); TypeError for anything but whole numbers in one list or array."""
    if isinstance(values, list) and not all(type(value) is int for value in values):  # lists in lists would unfold
        raise TypeError("labels that are no whole numbers")
    return np.asarray(values, dtype=np.int64)


def _names(form: Archive, where: str, content: bytes) -> tuple[str, ...]:
    if form.header:
        return tuple(content.decode(errors="replace").split())
    return texts(load_batch(content, where).get(form.key), where)
