"""Data files of any content: a refusal that names the file, and never more memory than a stated bound."""

from __future__ import annotations

import gzip
import io
import pickle
import shutil
import struct
import tarfile
import tracemalloc
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from advrush.data import images, load_dataset
from advrush.data.readers import cifar, pickles
from advrush.data.readers.mat import read_arrays
from advrush.data.readers.pickles import load_batch
from advrush.errors import DataError
from data_files import TINY, cifar_python, parquet, png, svhn, tiny_imagenet
from hostile import MORE, refusal

BOUND = 400 * 2**20
"""Bytes that Python may take for a hostile file of a few kilobytes; without the checks each takes gigabytes."""


def archive(folder: Path) -> Path:
    path = folder / "cifar-10-python.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        tar.add(cifar_python(folder / "plain", TINY["cifar10"]), "cifar-10-batches-py")
    shutil.rmtree(folder / "plain")
    return path


def npz(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    for part in ("train", "test"):
        images = rng.integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)
        np.savez_compressed(folder / f"{part}.npz", images=images, labels=np.arange(6) % 2, class_names=["a", "b"])
    return folder / "train.npz"


def classes(folder: Path) -> Path:
    for name in ("a", "b"):
        (folder / name).mkdir()
        for i in range(5):
            (folder / name / f"{i}.png").write_bytes(png(np.full((8, 8, 3), i, np.uint8)))
    return folder / "a" / "3.png"


def idx(folder: Path) -> Path:
    for part, count in (("train", 5), ("t10k", 3)):
        with gzip.open(folder / f"{part}-images-idx3-ubyte.gz", "wb") as file:
            file.write(struct.pack(">4B3I", 0, 0, 8, 3, count, 28, 28) + bytes(count * 784))
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">4BI", 0, 0, 8, 1, count) + bytes(range(count)))
    return folder / "train-images-idx3-ubyte.gz"


def zipped(folder: Path) -> Path:
    root = tiny_imagenet(folder / "plain", TINY["tiny_imagenet"])
    path = folder / "tiny-imagenet-200.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as content:
        for file in sorted(p for p in root.rglob("*") if p.is_file()):
            content.write(file, f"tiny-imagenet-200/{file.relative_to(root)}")
    shutil.rmtree(folder / "plain")
    return path


SETS: dict[str, tuple[str, Callable[[Path], Path]]] = {
    "archive": ("cifar10", archive),
    "batch": ("cifar10", lambda folder: cifar_python(folder, TINY["cifar10"]) / "data_batch_2"),
    "mat": ("svhn", lambda folder: svhn(folder, TINY["svhn"]) / "train_32x32.mat"),
    "zip": ("tiny_imagenet", zipped),
    "list": ("tiny_imagenet", lambda folder: tiny_imagenet(folder, TINY["tiny_imagenet"]) / "val/val_annotations.txt"),
    "parquet": ("cifar10", lambda folder: parquet(folder, TINY["cifar10"]) / "train-00000-of-00001.parquet"),
    "idx": ("mnist", idx),
    "npz": ("own", npz),
    "png": ("own", classes),
}
_made: dict[str, tuple[Path, Path, bytes]] = {}


def made(kind: str, base: Path) -> tuple[Path, Path, bytes]:
    """Return the folder of a sound data set, one of its files and that file's content."""
    if kind not in _made:
        folder = base / f"hostile-{kind}"
        folder.mkdir()
        path = SETS[kind][1](folder)
        _made[kind] = folder, path, path.read_bytes()
    return _made[kind]


def load(kind: str, folder: Path, base: Path) -> str | None:
    name = SETS[kind][0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return refusal(
            load_dataset, name, data_dir=folder, cache_dir=base / "no-cache", partial=True, known=TINY.get(name)
        )


@pytest.mark.parametrize("kind", SETS)
@settings(max_examples=25 * MORE, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_damaged_files_are_refused_by_name_or_read(
    kind: str, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    base = tmp_path_factory.getbasetemp()
    folder, path, whole = made(kind, base)
    place = data.draw(st.integers(0, len(whole) - 1))
    put = data.draw(st.binary(max_size=8))
    damaged = whole[:place] if data.draw(st.booleans()) else whole[:place] + put + whole[place + len(put) :]
    try:
        path.write_bytes(damaged)
        message = load(kind, folder, base)
        assert message is None or str(folder) in message
    finally:
        path.write_bytes(whole)


@pytest.mark.parametrize("kind", SETS)
def test_the_sound_files_are_read(kind: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    base = tmp_path_factory.getbasetemp()
    assert load(kind, made(kind, base)[0], base) is None


def peak_of(call: Callable[[], Any]) -> int:
    """Return the most bytes that Python and numpy held during a call that is refused with a DataError."""
    tracemalloc.start()
    try:
        with pytest.raises(DataError):
            call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def doubled(depth: int, opcode: bytes) -> bytes:
    """Return a pickle of lists (or tuples) each of which holds the one before twice."""
    body = b"]q\x00" if opcode == b"l" else b")q\x00"
    for i in range(depth):
        body += b"(h" + bytes([i]) + b"h" + bytes([i]) + opcode + b"q" + bytes([i + 1])
    return body


PICKLES = {
    "bytearray": b"\x80\x02cbuiltins\nbytearray\nJ\x00\x00\x00\x7f\x85R.",
    "bytearray of Python 2": b"\x80\x02c__builtin__\nbytearray\nJ\x00\x00\x00\x7f\x85R.",
    "memo": b"\x80\x02Nr\xff\xff\xff\x07.",
    "claimed bytes": b"\x80\x04\x8e" + struct.pack("<Q", 2**33) + b"x.",
    "content that is a number": pickle.dumps({"data": np.zeros((1, 2), np.uint8)}, 2).replace(
        b"X\x02\x00\x00\x00\x00\x00", b"J\x00\x00\x00\x7f"
    ),
    "many values": b"\x80\x02(" + b"}" * 5000 + b"t.",
    "lists in lists": b"\x80\x02}" + b"X\x06\x00\x00\x00labels" + doubled(60, b"l") + b"sX\x04\x00\x00\x00dataK\x01s.",
    "tuples in tuples": b"\x80\x02}" + doubled(60, b"t") + b"K\x01s.",
    "names in names": b"\x80\x02cnumpy\ndtype\n" + doubled(60, b"l") + b"\x85R.",
}


@pytest.mark.parametrize("kind", PICKLES)
def test_pickles_that_would_expand(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickles, "MOST_OPCODES", 4000)
    folder = cifar_python(tmp_path, TINY["cifar10"])
    (folder / "data_batch_1").write_bytes(PICKLES[kind])

    def read() -> None:
        load_batch(PICKLES[kind], "data_batch_1")
        load_dataset("cifar10", data_dir=folder, cache_dir=tmp_path / "cache", known=TINY["cifar10"])

    assert peak_of(read) < BOUND


def tar_of(size: int, kind: bytes, name: str = "cifar-10-batches-py/data_batch_1", real: int = 2**27) -> bytes:
    """Return a packed archive with one member of `size` claimed bytes, of which `real` zeros are there."""
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, size
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    parts = [packer.compress(info.tobuf(tarfile.GNU_FORMAT))]
    zeros = bytes(2**24)
    parts += [packer.compress(zeros) for _ in range(real // len(zeros))]
    return b"".join([*parts, packer.flush()])


@pytest.mark.parametrize(
    "kind", [tarfile.REGTYPE, tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME], ids=["file", "pax", "name"]
)
def test_archives_that_would_expand(kind: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cifar, "LARGEST_FILE", 2**24)
    path = tmp_path / "cifar-10-python.tar.gz"
    path.write_bytes(tar_of(2**33 - 1, kind))
    read = lambda: load_dataset("cifar10", data_dir=tmp_path, cache_dir=tmp_path, known=TINY["cifar10"])  # noqa: E731
    assert peak_of(read) < 2**26


def npy_header(shape: tuple[int, ...]) -> bytes:
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return head.getvalue()


@pytest.mark.parametrize("shape", [(10**6, 4096, 4096, 3), (2**40,), (2**62, 8)])
def test_arrays_that_claim_more_than_they_hold(shape: tuple[int, ...], tmp_path: Path) -> None:
    npz(tmp_path)
    with zipfile.ZipFile(tmp_path / "train.npz", "w") as content:
        content.writestr("images.npy", npy_header(shape) + bytes(100))
        content.writestr("labels.npy", npy_header((6,)) + bytes(6))
    assert peak_of(lambda: load_dataset("own", data_dir=tmp_path, cache_dir=tmp_path)) < BOUND


def test_images_that_claim_many_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = classes(tmp_path)
    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(bytes(10))), (b"IEND", b"")]
    body = [struct.pack(">I", len(c)) + k + c + struct.pack(">I", zlib.crc32(k + c)) for k, c in chunks]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(body))
    assert peak_of(lambda: load_dataset("own", data_dir=tmp_path, cache_dir=tmp_path)) < BOUND
    path.write_bytes(png(np.zeros((1, 2000), np.uint8)))
    monkeypatch.setattr(images, "LARGEST_IMAGE", 1000)
    with pytest.raises(DataError, match=r"3\.png: claims 2000 pixels; expected at most 1000"):
        load_dataset("own", data_dir=tmp_path, cache_dir=tmp_path)
    monkeypatch.setattr(images, "LARGEST_IMAGE", 5000)
    with pytest.raises(DataError, match=r"3\.png: claims 128000 pixels when resized; expected at most 5000"):
        load_dataset("own", data_dir=tmp_path, cache_dir=tmp_path, image_size=8)


def mat(sizes: tuple[int, ...], real: int) -> bytes:
    """Return a packed MATLAB array X that claims `sizes` and holds `real` zeros."""
    length = int(np.prod(sizes, dtype=object))
    parts = (
        struct.pack("<IIII", 6, 8, 9, 0)
        + struct.pack("<II", 5, 4 * len(sizes))
        + struct.pack(f"<{len(sizes)}i", *sizes)
    )
    parts += struct.pack("<HH4s", 1, 1, b"X") + struct.pack("<II", 2, length & 0xFFFFFFFF)
    packed = zlib.compress(struct.pack("<II", 14, (len(parts) + length) & 0xFFFFFFFF) + parts + bytes(real))
    return b" " * 124 + b"\x00\x01IM" + struct.pack("<II", 15, len(packed)) + packed


def test_matlab_arrays_that_claim_more_than_they_hold() -> None:
    assert read_arrays(mat((4, 4, 3, 2), 96), ("X",), 1000)["X"].shape == (4, 4, 3, 2)
    for content in (
        mat((32, 32, 3, 300_000), 10),
        mat((-4, 4, 3, -2), 96),
        mat((4, 4, 3, 2), 2**20),
        mat((4, 4, 3, 2), 95),
    ):
        with pytest.raises(ValueError, match=r"truncated|bytes|end"):
            read_arrays(content, ("X",), 1000)


def test_lists_in_other_encodings_and_missing_images(tmp_path: Path) -> None:
    known = TINY["tiny_imagenet"]
    root = tiny_imagenet(tmp_path, known)
    text = (root / "val/val_annotations.txt").read_text()
    sound = load_dataset("tiny_imagenet", data_dir=root, cache_dir=tmp_path, known=known).checksum
    for encoding in ("utf-8-sig", "utf-16"):
        (root / "val/val_annotations.txt").write_text(text, encoding=encoding)
        (root / "wnids.txt").write_text((root / "wnids.txt").read_bytes().decode("utf-8-sig"), encoding="utf-8-sig")
        assert load_dataset("tiny_imagenet", data_dir=root, cache_dir=tmp_path, known=known).checksum == sound
    (root / "val/val_annotations.txt").write_bytes(b"\xe9" + text.encode())
    with pytest.raises(DataError, match=r"val_annotations\.txt: not a text in UTF-8 or UTF-16"):
        load_dataset("tiny_imagenet", data_dir=root, cache_dir=tmp_path, known=known)
    (root / "val/val_annotations.txt").write_text(text)
    image = next((root / "train").rglob("*.JPEG"))
    image.unlink()
    image.symlink_to("nowhere")
    with pytest.raises(DataError, match=f"{image.name}: .*cannot be read"):
        load_dataset("tiny_imagenet", data_dir=root, cache_dir=tmp_path, known=known)
