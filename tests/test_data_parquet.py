"""Parquet files in the hub's layout: every split, shard and column name; what is broken is named."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from advrush.data import load_dataset
from advrush.errors import DataError
from data_files import TINY, names_of, parquet, pixels_of

pytest.importorskip("pyarrow", reason="needs pyarrow (extra hf)")
KNOWN = TINY["cifar10"]


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize(("name", "image", "label"), [("cifar10", "img", "label"), ("cifar100", "image", "fine_label")])
def test_reads_back_exactly(name: str, image: str, label: str, shards: int, tmp_path: Path) -> None:
    known = TINY[name]
    dataset = load_dataset(
        name, data_dir=parquet(tmp_path, known, shards=shards, image=image, label=label), known=known
    )
    for split, pixels in zip((dataset.train, dataset.test), pixels_of(known), strict=True):
        assert torch.equal(split.images, torch.from_numpy(pixels.x).permute(0, 3, 1, 2))
        assert torch.equal(split.labels, torch.from_numpy(pixels.y))
    assert dataset.classes == tuple(names_of(known))


@pytest.mark.parametrize("below", ["data", "plain_text"])
def test_the_folders_of_the_hub_are_found(below: str, tmp_path: Path) -> None:
    (tmp_path / below).mkdir()
    parquet(tmp_path / below, KNOWN)
    assert len(load_dataset("cifar10", data_dir=tmp_path, known=KNOWN).train) == KNOWN.train


def test_the_validation_set_of_tiny_imagenet_is_halved(tmp_path: Path) -> None:
    known = TINY["tiny_imagenet"]
    dataset = load_dataset("tiny_imagenet", data_dir=parquet(tmp_path, known, image="image"), known=known)
    assert dataset.validation is not None
    assert dataset.validation.labels.tolist() == dataset.test.labels.tolist() == [0, 1, 2, 3]


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    (parquet(tmp_path, KNOWN, shards=3) / "train-00001-of-00003.parquet").unlink()
    with pytest.raises(DataError, match="2 of its 3 parts are there"):
        load_dataset("cifar10", data_dir=tmp_path, known=KNOWN, partial=True)


def test_a_missing_split_is_named(tmp_path: Path) -> None:
    (parquet(tmp_path, KNOWN) / "test-00000-of-00001.parquet").unlink()
    with pytest.raises(DataError, match=r"expected train-.* and test-.*, both"):
        load_dataset("cifar10", data_dir=tmp_path, known=KNOWN)


@pytest.mark.parametrize("keep", [0.0, 0.5, 0.99])
def test_a_truncated_file_is_named(keep: float, tmp_path: Path) -> None:
    path = parquet(tmp_path, KNOWN) / "test-00000-of-00001.parquet"
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(DataError, match=r"test-00000-of-00001\.parquet: truncated or not a parquet file"):
        load_dataset("cifar10", data_dir=tmp_path, known=KNOWN)


def test_a_broken_image_is_named_with_its_row(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    path = parquet(tmp_path, KNOWN) / "train-00000-of-00001.parquet"
    table = pyarrow.parquet.read_table(path)
    cells = table["img"].to_pylist()
    cells[7]["bytes"] = cells[7]["bytes"][:-40]
    pyarrow.parquet.write_table(table.set_column(0, "img", pyarrow.array(cells, table["img"].type)), path)
    with pytest.raises(DataError, match=r"train-00000-of-00001\.parquet: row 7: damaged"):
        load_dataset("cifar10", data_dir=tmp_path, known=KNOWN)
    cells[7] = None
    pyarrow.parquet.write_table(table.set_column(0, "img", pyarrow.array(cells, table["img"].type)), path)
    with pytest.raises(DataError, match="row 7 of column img holds no image bytes"):
        load_dataset("cifar10", data_dir=tmp_path, known=KNOWN)


def test_other_columns_are_refused(tmp_path: Path) -> None:
    parquet(tmp_path, KNOWN, label="target")
    with pytest.raises(DataError, match="has columns img, target; expected one of label"):
        load_dataset("cifar10", data_dir=tmp_path, known=KNOWN)


def test_the_real_cifar10(shared: Path) -> None:
    dataset = load_dataset("cifar10", data_dir=shared / "data" / "cifar10")  # beside it lies a stray .npz
    assert dataset.train.images.shape == (50_000, 3, 32, 32) and len(dataset.test) == 10_000
    assert dataset.train.labels.bincount().tolist() == [5000] * 10
    assert dataset.classes[:2] == ("airplane", "automobile")
    mean = dataset.train.images.float().mean(dim=(0, 2, 3)) / 255
    assert (mean - torch.tensor(dataset.mean)).abs().max() < 0.01
