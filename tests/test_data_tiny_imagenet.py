"""Tiny-ImageNet, folder and zip: the public validation set is halved, what is missing is named."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from advrush.data import load_dataset
from advrush.errors import DataError
from data_files import TINY, pack, pixels_of, tiny_imagenet

KNOWN = TINY["tiny_imagenet"]


@pytest.mark.parametrize("form", ["folder", "above", "zip", "zip file"])
def test_reads_back_exactly(form: str, tmp_path: Path) -> None:
    folder = tiny_imagenet(tmp_path / "made", KNOWN)
    archive = pack(folder, tmp_path / "tiny-imagenet-200.zip")
    place = {"folder": folder, "above": folder.parent, "zip": tmp_path, "zip file": archive}[form]
    dataset = load_dataset("tiny_imagenet", data_dir=place, known=KNOWN)
    train, held = pixels_of(KNOWN)
    order = sorted(range(len(train.y)), key=lambda i: (train.y[i], i))  # files come in the order of their names
    assert torch.equal(dataset.train.images, torch.from_numpy(train.x[order]).permute(0, 3, 1, 2))
    assert torch.equal(dataset.train.labels, torch.from_numpy(train.y[order]))
    assert dataset.validation is not None
    first, second = torch.from_numpy(held.x[:4]).permute(0, 3, 1, 2), torch.from_numpy(held.x[4:]).permute(0, 3, 1, 2)
    assert torch.equal(dataset.validation.images, first) and torch.equal(dataset.test.images, second)
    assert dataset.validation.labels.tolist() == dataset.test.labels.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("wnids.txt", "no tiny_imagenet in it"),
        ("val/val_annotations.txt", r"has no val/val_annotations\.txt"),
        ("val/images/val_5.JPEG", r"val_5\.JPEG is not there; expected all 8 images"),
        ("train/n00000001/images/n00000001_001.JPEG", "11 train images; tiny_imagenet has 12"),
    ],
)
def test_what_is_missing_is_named(file: str, message: str, tmp_path: Path) -> None:
    (tiny_imagenet(tmp_path, KNOWN) / file).unlink()
    with pytest.raises(DataError, match=message):
        load_dataset("tiny_imagenet", data_dir=tmp_path, known=KNOWN)


def test_a_broken_image_is_named(tmp_path: Path) -> None:
    path = tiny_imagenet(tmp_path, KNOWN) / "train/n00000002/images/n00000002_002.JPEG"
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(DataError, match=r"n00000002_002\.JPEG: damaged, 60 bytes"):
        load_dataset("tiny_imagenet", data_dir=tmp_path, known=KNOWN)


def test_a_class_that_wnids_does_not_name_is_refused(tmp_path: Path) -> None:
    folder = tiny_imagenet(tmp_path, KNOWN)
    (folder / "train" / "n00000003").rename(folder / "train" / "n99999999")
    with pytest.raises(DataError, match=r"class n99999999 is not in wnids\.txt"):
        load_dataset("tiny_imagenet", data_dir=tmp_path, known=KNOWN)


def test_a_truncated_zip_is_refused(tmp_path: Path) -> None:
    archive = pack(tiny_imagenet(tmp_path / "made", KNOWN), tmp_path / "tiny-imagenet-200.zip")
    archive.write_bytes(archive.read_bytes()[:2000])
    with pytest.raises(DataError, match=r"tiny-imagenet-200\.zip: truncated"):
        load_dataset("tiny_imagenet", data_dir=tmp_path, known=KNOWN)


def test_a_changed_image_in_a_folder_is_noticed(tmp_path: Path) -> None:
    folder = tiny_imagenet(tmp_path, KNOWN)
    before = load_dataset("tiny_imagenet", data_dir=folder, known=KNOWN)
    source = folder / "train/n00000000/images/n00000000_000.JPEG"
    other = folder / "train/n00000000/images/n00000000_004.JPEG"
    source.write_bytes(other.read_bytes() + b"\0")  # decoders ignore what follows the image
    after = load_dataset("tiny_imagenet", data_dir=folder, known=KNOWN)
    assert after.checksum != before.checksum
    assert torch.equal(after.train.images[0], after.train.images[1])


def test_the_real_sample(shared: Path) -> None:
    place = shared / "data" / "tiny_imagenet"
    with pytest.raises(DataError, match="4000 train images; tiny_imagenet has 100000"):
        load_dataset("tiny_imagenet", data_dir=place)
    dataset = load_dataset("tiny_imagenet", data_dir=place, partial=True)
    assert dataset.validation is not None
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (4000, 500, 500)
    assert dataset.train.labels.bincount().tolist() == [20] * 200
    assert set(dataset.test.labels.bincount(minlength=200).tolist()) == {2, 3}
