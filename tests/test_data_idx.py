"""MNIST and Fashion-MNIST: idx files read back exactly, packed or not; damaged ones are refused by name."""

from __future__ import annotations

import gzip
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from advrush.data import KNOWN, DataConfig, load_dataset
from advrush.errors import DataError

SHARED = Path(__file__).parents[2] / "shared" / "data" / "fashion_mnist"
TINY = replace(KNOWN["mnist"], train=20, test=10)


def _images(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 28, 28), dtype=np.uint8)


def _write(root: Path, *, packed: bool = True) -> Path:
    for prefix, count, seed in (("train", 20, 1), ("t10k", 10, 2)):
        images, labels = _images(count, seed), np.arange(count, dtype=np.uint8) % 10
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            content = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()
            path = root / f"{prefix}-{kind}-ubyte{'.gz' if packed else ''}"
            path.write_bytes(gzip.compress(content) if packed else content)
    return root


@pytest.mark.parametrize("packed", [True, False])
def test_reads_back_exactly(packed: bool, tmp_path: Path) -> None:
    dataset = load_dataset("mnist", data_dir=_write(tmp_path, packed=packed), known=TINY)
    assert np.array_equal(dataset.train.images[:, 0].numpy(), _images(20, 1))
    assert np.array_equal(dataset.test.images[:, 0].numpy(), _images(10, 2))
    assert dataset.test.labels.tolist() == list(range(10))
    assert dataset.classes == tuple("0123456789")


def test_other_counts_are_refused_unless_partial(tmp_path: Path) -> None:
    _write(tmp_path)
    with pytest.raises(DataError, match="20 examples; expected 60000"):
        load_dataset("mnist", data_dir=tmp_path)
    assert len(load_dataset("mnist", data_dir=tmp_path, partial=True).train) == 20


@pytest.mark.parametrize("keep", [0, 3, 9, 200])
@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("part", ["train-images-idx3", "t10k-images-idx3"])
def test_a_truncated_file_is_refused_by_name(part: str, packed: bool, keep: int, tmp_path: Path) -> None:
    path = _write(tmp_path, packed=packed) / f"{part}-ubyte{'.gz' if packed else ''}"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match=f"{part}-ubyte"):
        load_dataset("mnist", data_dir=tmp_path, known=TINY)


def test_a_header_of_something_else_and_too_many_bytes(tmp_path: Path) -> None:
    path = _write(tmp_path, packed=False) / "train-labels-idx1-ubyte"
    good = path.read_bytes()
    path.write_bytes(b"\x00\x00\x0d\x01" + good[4:])
    with pytest.raises(DataError, match=r"begins with 00000d01; expected 00000801"):
        load_dataset("mnist", data_dir=tmp_path, known=TINY)
    path.write_bytes(good + b"x")
    with pytest.raises(DataError, match="more bytes after the header; expected 20"):
        load_dataset("mnist", data_dir=tmp_path, known=TINY)
    path.write_bytes(good[:4] + struct.pack(">I", 2**32 - 1) + good[8:])
    with pytest.raises(DataError, match="damaged"):
        load_dataset("mnist", data_dir=tmp_path, partial=True)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    (_write(tmp_path) / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match=r"t10k-labels-idx1-ubyte\.gz: is not there"):
        load_dataset("mnist", data_dir=tmp_path, known=TINY)


@pytest.mark.skipif(not SHARED.is_dir(), reason="Fashion-MNIST is not there")
def test_fashion_mnist_whole_with_its_constants() -> None:
    dataset = load_dataset("fashion_mnist", data_dir=SHARED)
    assert (len(dataset.train), len(dataset.test), dataset.image_size, dataset.channels) == (60_000, 10_000, 28, 1)
    assert dataset.train.labels.bincount().tolist() == [6_000] * 10
    pixels = dataset.train.images.double() / 255
    assert dataset.mean[0] == pytest.approx(pixels.mean().item(), abs=1e-6)
    assert dataset.std[0] == pytest.approx(pixels.std(correction=0).item(), abs=1e-6)
    small = DataConfig("fashion_mnist", train_examples=500, image_size=16).load(SHARED)
    pixels = small.train.images.double() / 255
    assert small.image_size == 16
    assert small.std[0] == pytest.approx(pixels.std(correction=0).item(), abs=1e-6)
