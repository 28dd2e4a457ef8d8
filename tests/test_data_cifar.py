"""CIFAR-10 and CIFAR-100, python and binary, packed and unpacked: read back exactly, refused when incomplete."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from advrush.data import Dataset, load_dataset
from advrush.errors import DataError
from data_files import TINY, cifar_binary, cifar_python, names_of, pack, pixels_of

ARCHIVES = {
    ("cifar10", "python"): "cifar-10-python.tar.gz",
    ("cifar10", "binary"): "cifar-10-binary.tar.gz",
    ("cifar100", "python"): "cifar-100-python.tar.gz",
    ("cifar100", "binary"): "cifar-100-binary.tar.gz",
}


def assert_same(dataset: Dataset, name: str) -> None:
    known = TINY[name]
    for split, pixels in zip((dataset.train, dataset.test), pixels_of(known), strict=True):
        assert split.images.dtype == torch.uint8 and split.labels.dtype == torch.int64
        assert torch.equal(split.images, torch.from_numpy(pixels.x).permute(0, 3, 1, 2))
        assert torch.equal(split.labels, torch.from_numpy(pixels.y))
    assert dataset.classes == tuple(names_of(known))
    assert (dataset.mean, dataset.std) == (known.mean, known.std)
    assert (dataset.image_size, dataset.channels, dataset.num_classes) == (32, 3, known.classes)


@pytest.mark.parametrize("packed", ["folder", "above", "archive", "archive file"])
@pytest.mark.parametrize(("name", "form"), list(ARCHIVES))
def test_every_canonical_form_reads_back_exactly(name: str, form: str, packed: str, tmp_path: Path) -> None:
    write = cifar_python if form == "python" else cifar_binary
    folder = write(tmp_path / "made", TINY[name])
    archive = pack(folder, tmp_path / ARCHIVES[name, form])
    places = {"folder": folder, "above": folder.parent, "archive": tmp_path, "archive file": archive}
    assert_same(load_dataset(name, data_dir=places[packed], known=TINY[name]), name)


@pytest.mark.parametrize("protocol", [0, 2, 3, 4, 5])
@pytest.mark.parametrize("keys", [bytes, str])
def test_batches_pickled_again_by_any_python_are_read(protocol: int, keys: type, tmp_path: Path) -> None:
    cifar_python(tmp_path, TINY["cifar10"], protocol=protocol, keys=keys)
    assert_same(load_dataset("cifar10", data_dir=tmp_path, known=TINY["cifar10"]), "cifar10")


Damage = Callable[[Path], object]


def _cut(file: str, keep: int | float) -> Damage:
    def damage(folder: Path) -> None:
        content = (folder / file).read_bytes()
        (folder / file).write_bytes(content[: keep if isinstance(keep, int) else int(len(content) * keep)])

    return damage


@pytest.mark.parametrize(
    ("form", "damage", "message"),
    [
        ("python", _cut("data_batch_3", 0.5), r"data_batch_3: truncated"),
        ("python", lambda f: (f / "test_batch").unlink(), r"test_batch: cannot be read .*incomplete"),
        ("python", lambda f: (f / "batches.meta").unlink(), r"batches\.meta: cannot be read"),
        ("python", lambda f: (f / "data_batch_1").write_bytes(b"<html>404</html>"), r"data_batch_1: .*16 bytes"),
        ("binary", _cut("data_batch_2.bin", -1), r"data_batch_2\.bin: 12291 bytes; expected whole records of 3073"),
        ("binary", _cut("data_batch_4.bin", 3073), r"data_batch_4\.bin: 1 images; expected 4: truncated"),
        ("binary", _cut("test_batch.bin", 0), r"test_batch\.bin: 0 bytes"),
    ],
)
def test_an_incomplete_folder_is_refused_by_name(form: str, damage: Damage, message: str, tmp_path: Path) -> None:
    folder = (cifar_python if form == "python" else cifar_binary)(tmp_path, TINY["cifar10"])
    damage(folder)
    with pytest.raises(DataError, match=message):
        load_dataset("cifar10", data_dir=tmp_path, known=TINY["cifar10"])


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.99])
def test_a_truncated_archive_is_refused_by_name(keep: float, tmp_path: Path) -> None:
    archive = pack(cifar_python(tmp_path / "made", TINY["cifar10"]), tmp_path / "cifar-10-python.tar.gz")
    _cut(archive.name, keep)(tmp_path)
    with pytest.raises(DataError, match=r"cifar-10-python\.tar\.gz: (truncated|has no)"):
        load_dataset("cifar10", data_dir=tmp_path, known=TINY["cifar10"])


def test_damage_inside_an_archive_is_refused(tmp_path: Path) -> None:
    archive = pack(cifar_binary(tmp_path / "made", TINY["cifar10"]), tmp_path / "cifar-10-binary.tar.gz")
    content = bytearray(archive.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 64] = bytes(64)
    archive.write_bytes(content)
    with pytest.raises(DataError, match="cifar-10-binary"):
        load_dataset("cifar10", data_dir=archive, known=TINY["cifar10"])


def test_an_archive_of_something_else_is_refused(tmp_path: Path) -> None:
    pack(cifar_python(tmp_path / "made", TINY["cifar100"]), tmp_path / "cifar-10-python.tar.gz")
    with pytest.raises(DataError, match=r"has no cifar-10-batches-py/data_batch_1; .*not the canonical archive"):
        load_dataset("cifar10", data_dir=tmp_path, known=TINY["cifar10"])


def test_a_sample_is_refused_unless_it_is_asked_for(tmp_path: Path) -> None:
    cifar_binary(tmp_path, TINY["cifar10"])
    with pytest.raises(DataError, match=r"data_batch_1\.bin: 4 images; expected 10000"):
        load_dataset("cifar10", data_dir=tmp_path)
    assert_same(load_dataset("cifar10", data_dir=tmp_path, partial=True), "cifar10")
    with pytest.raises(DataError, match=r"20 train images; cifar10 has 50000.*data\.partial"):
        load_dataset("cifar10", data_dir=tmp_path)  # from the cache now: still refused


def test_labels_out_of_range_are_refused(tmp_path: Path) -> None:
    folder = cifar_binary(tmp_path, TINY["cifar10"])
    content = bytearray((folder / "test_batch.bin").read_bytes())
    content[0] = 10
    (folder / "test_batch.bin").write_bytes(content)
    with pytest.raises(DataError, match="test labels go from 1 to 10; expected 0 to 9"):
        load_dataset("cifar10", data_dir=tmp_path, known=TINY["cifar10"])
