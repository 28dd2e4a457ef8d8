"""NumPy archives, two files or one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from advrush.data import load_dataset
from advrush.errors import DataError
from data_files import TINY, Pixels, names_of, npz, pixels_of


def test_two_files_read_back_exactly(tmp_path: Path) -> None:
    known = TINY["svhn"]
    dataset = load_dataset("svhn", data_dir=npz(tmp_path, known), known=known)
    for split, pixels in zip((dataset.train, dataset.test), pixels_of(known), strict=True):
        assert torch.equal(split.images, torch.from_numpy(pixels.x).permute(0, 3, 1, 2))
        assert torch.equal(split.labels, torch.from_numpy(pixels.y))
    assert dataset.classes == tuple(names_of(known))


def test_one_file_with_both_splits(tmp_path: Path) -> None:
    train, test = Pixels(6, 3, 10, 1), Pixels(3, 3, 10, 2)
    path = tmp_path / "mine.npz"
    np.savez(path, x_train=train.x, y_train=train.y[:, None], x_test=test.x, y_test=test.y[:, None])
    dataset = load_dataset("own", data_dir=path)
    assert torch.equal(dataset.test.images, torch.from_numpy(test.x).permute(0, 3, 1, 2))
    assert dataset.train.labels.tolist() == [0, 1, 2, 0, 1, 2] and dataset.classes == ("0", "1", "2")


def test_one_gray_file_is_split_by_class(tmp_path: Path) -> None:
    pixels = Pixels(40, 4, 6, 1)
    np.savez(tmp_path / "gray.npz", images=pixels.x[..., 0], labels=pixels.y)
    dataset = load_dataset("own", data_dir=tmp_path / "gray.npz")
    assert (dataset.channels, dataset.image_size, len(dataset.train), len(dataset.test)) == (1, 6, 32, 8)
    assert dataset.test.labels.bincount().tolist() == [2] * 4


def _objects(path: Path) -> None:
    np.savez(path, images=np.array([{}], dtype=object), labels=np.zeros(1, np.int64))


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda p: p.write_bytes(b"PK\x03\x04"), r"test\.npz: truncated or not an npz"),
        (_objects, r"test\.npz: truncated or not an npz file of plain arrays"),
        (
            lambda p: np.savez(p, images=np.zeros((2, 32, 32, 3), np.uint8)),
            r"test\.npz: holds images; expected .* labels",
        ),
        (lambda p: np.savez(p, images=np.zeros((2, 32, 32, 3)), labels=np.zeros(2, int)), "images are float64"),
        (lambda p: np.savez(p, images=np.zeros((2, 32, 30, 3), np.uint8), labels=np.zeros(2, int)), "30x32 pixels"),
        (lambda p: np.savez(p, images=np.zeros((2, 3, 32, 32), np.uint8), labels=np.zeros(2, int)), "expected uint8"),
        (lambda p: np.savez(p, images=np.zeros((2, 32, 32, 3), np.uint8), labels=np.zeros(3, int)), "for 2 images"),
        (lambda p: np.savez(p, images=np.zeros((2, 32, 32, 3), np.uint8), labels=np.zeros(2)), "labels are float64"),
        (lambda p: np.savez(p, images=np.zeros((2, 32, 32, 3), np.uint8), labels=np.array([0, 10])), "from 0 to 10"),
        (lambda p: np.savez(p, images=np.zeros((2, 32, 32, 3), np.uint8), labels=np.array([-1, 1])), "from -1 to 1"),
        (
            lambda p: np.savez(p, images=np.zeros((2, 16, 16, 3), np.uint8), labels=np.zeros(2, int)),
            "expected the same",
        ),
        (lambda p: np.savez(p, images=np.zeros((0, 32, 32, 3), np.uint8), labels=np.zeros(0, int)), "no test images"),
        (lambda p: p.unlink(), r"test\.npz: is not there"),
    ],
)
def test_what_is_wrong_is_named(write: object, message: str, tmp_path: Path) -> None:
    npz(tmp_path, TINY["svhn"])
    write(tmp_path / "test.npz")  # type: ignore[operator]
    with pytest.raises(DataError, match=message):
        load_dataset("own", data_dir=tmp_path)


ALL = np.arange(10) % 2


@pytest.mark.parametrize(
    ("labels", "names", "message"),
    [
        (ALL - 1, None, "labels: got -1"),
        (ALL + 2**40, None, "no image of class 0"),
        (ALL, ["a", "a"], "'a' twice"),
        (ALL, ["", "b"], "class_names: got ''"),
        (ALL, [["a", "b"]], "shape"),
        (ALL, "ab", "shape"),
        (ALL, ["a"], "from 0 to 1"),
    ],
)
def test_labels_and_names_that_do_not_fit_are_named(
    labels: np.ndarray, names: object, message: str, tmp_path: Path
) -> None:
    told = {} if names is None else {"class_names": np.array(names)}
    for part in ("train", "test"):
        np.savez(tmp_path / part, images=np.full((10, 4, 4, 3), 9, np.uint8), labels=labels, **told)
    with pytest.raises(DataError, match=message):
        load_dataset("own", data_dir=tmp_path)


def test_files_that_name_their_classes_otherwise_are_refused(tmp_path: Path) -> None:
    for part, names in (("train", ["a", "b"]), ("test", ["b", "a"])):
        np.savez(tmp_path / part, images=np.full((10, 4, 4, 3), 9, np.uint8), labels=ALL, class_names=names)
    with pytest.raises(DataError, match=r"test\.npz: other class_names"):
        load_dataset("own", data_dir=tmp_path)


def test_pixels_that_were_made_bytes_without_255_are_refused(tmp_path: Path) -> None:
    for part in ("train", "test"):
        np.savez(tmp_path / part, images=np.random.default_rng(0).integers(0, 2, (10, 4, 4, 3), np.uint8), labels=ALL)
    with pytest.raises(DataError, match="made bytes"):
        load_dataset("own", data_dir=tmp_path)


def test_the_real_samples(shared: Path) -> None:
    with pytest.raises(DataError, match="1117 train images; cifar100 has 50000"):
        load_dataset("cifar100", data_dir=shared / "data" / "cifar100")
    dataset = load_dataset("cifar100", data_dir=shared / "data", partial=True)  # found below by its name
    assert (len(dataset.train), len(dataset.test), dataset.num_classes) == (1117, 916, 100)
    with pytest.raises(DataError, match=r"svhn/test\.npz: is not there"):
        load_dataset("svhn", data_dir=shared / "data", partial=True)
