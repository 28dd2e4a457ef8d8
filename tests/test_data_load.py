"""Which source is taken, and what is said where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from advrush.data import KNOWN, load_dataset
from advrush.errors import ConfigError, DataError
from data_files import TINY, Pixels, cifar_binary, cifar_python, class_folders, npz, parquet


def test_the_table_is_the_papers_and_the_two_of_gray_images() -> None:
    rows = {k.name: (k.train, k.validation, k.test, k.classes, k.image_size) for k in KNOWN.values()}
    assert rows == {
        "cifar10": (50_000, 0, 10_000, 10, 32),
        "cifar100": (50_000, 0, 10_000, 100, 32),
        "svhn": (73_257, 0, 26_032, 10, 32),
        "tiny_imagenet": (100_000, 5_000, 5_000, 200, 64),
        "mnist": (60_000, 0, 10_000, 10, 28),
        "fashion_mnist": (60_000, 0, 10_000, 10, 28),
    }


def test_digits_need_nothing() -> None:
    from sklearn.datasets import load_digits

    dataset = load_dataset("digits")
    assert dataset.train.images.shape == (1442, 1, 8, 8) and len(dataset.test) == 355
    shares = dataset.test.labels.bincount() / (dataset.test.labels.bincount() + dataset.train.labels.bincount())
    assert (shares - 0.2).abs().max() < 0.01
    content = load_digits()
    stored = torch.cat([dataset.train.images, dataset.test.images]).sum()
    assert abs(int(stored) - content.images.sum() * 255 / 16) < 0.5 * content.images.size
    assert int(dataset.train.images.max()) == 255 and len(dataset.train.images.unique()) == 17
    x = dataset.train.images.double() / 255
    assert dataset.mean == pytest.approx([float(x.mean())]) and dataset.std == pytest.approx(
        [float(x.std(correction=0))]
    )


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("cifar10", ["--data-dir", "cifar-10-python.tar.gz", "uoft-cs/cifar10", "advrush[hf]"]),
        ("cifar100", ["cifar-100-binary.tar.gz", "uoft-cs/cifar100"]),
        ("svhn", ["train_32x32.mat", "ufldl-stanford/svhn"]),
        ("tiny_imagenet", ["tiny-imagenet-200.zip", "zh-plus/tiny-imagenet"]),
        ("cifar11", ["did you mean 'cifar10'?", "data of your own"]),
    ],
)
def test_a_data_set_that_is_not_there_says_how_to_get_it(name: str, words: list[str], tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing here")
    for place in (None, tmp_path / "nowhere", tmp_path, tmp_path / "notes.txt"):
        with pytest.raises(DataError) as caught:
            load_dataset(name, data_dir=place)
        assert all(word in str(caught.value) for word in words)
    with pytest.raises(DataError, match="nowhere: no such file or folder"):
        load_dataset(name, data_dir=tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["CIFAR-10", "cifar_10", "Tiny-ImageNet", "SVHN", "Digits", "", "../data", "a/b"])
def test_other_spellings_and_places_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"dataset: got .*(did you mean|expected a word)"):
        load_dataset(name, data_dir=tmp_path)


def test_a_folder_of_several_data_sets_serves_each_by_name(tmp_path: Path) -> None:
    for name in ("cifar10", "svhn"):
        (tmp_path / name).mkdir()
    cifar_binary(tmp_path / "cifar10", TINY["cifar10"])
    npz(tmp_path / "svhn", TINY["svhn"])
    assert len(load_dataset("cifar10", data_dir=tmp_path, known=TINY["cifar10"]).train) == TINY["cifar10"].train
    assert len(load_dataset("svhn", data_dir=tmp_path, known=TINY["svhn"]).train) == TINY["svhn"].train


def test_the_canonical_archive_comes_first(tmp_path: Path) -> None:
    cifar_python(tmp_path, TINY["cifar10"])
    np_classes = Pixels(10, 2, 8, 0)
    class_folders(tmp_path / "train", np_classes)
    class_folders(tmp_path / "test", np_classes)
    assert load_dataset("cifar10", data_dir=tmp_path, known=TINY["cifar10"]).image_size == 32
    assert load_dataset("own", data_dir=tmp_path).image_size == 8


def test_two_forms_in_one_folder_are_ambiguous(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="needs pyarrow (extra hf)")
    npz(parquet(tmp_path, TINY["cifar10"]), TINY["cifar10"])
    with pytest.raises(DataError, match=r"holds parquet files and train\.npz and test\.npz; expected one form"):
        load_dataset("cifar10", data_dir=tmp_path, known=TINY["cifar10"])
    (tmp_path / "test.npz").unlink()
    (tmp_path / "train.npz").rename(tmp_path / "lossless_test.npz")  # a stray archive is no second form
    assert len(load_dataset("cifar10", data_dir=tmp_path, known=TINY["cifar10"]).test) == TINY["cifar10"].test


def test_the_name_is_part_of_what_is_cached(tmp_path: Path) -> None:
    known = TINY["tiny_imagenet"]
    pytest.importorskip("pyarrow", reason="needs pyarrow (extra hf)")
    parquet(tmp_path, known)
    assert load_dataset("tiny_imagenet", data_dir=tmp_path, known=known).validation is not None
    assert load_dataset("own", data_dir=tmp_path).validation is None
