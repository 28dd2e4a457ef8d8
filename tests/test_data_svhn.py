"""SVHN's .mat files: the label 10 is the digit 0, a missing or broken file is named."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from advrush.data import load_dataset
from advrush.errors import DataError
from data_files import TINY, pixels_of, svhn

KNOWN = TINY["svhn"]


def test_reads_back_exactly_with_ten_as_zero(tmp_path: Path) -> None:
    dataset = load_dataset("svhn", data_dir=svhn(tmp_path, KNOWN), known=KNOWN)
    for split, pixels in zip((dataset.train, dataset.test), pixels_of(KNOWN), strict=True):
        assert torch.equal(split.images, torch.from_numpy(pixels.x).permute(0, 3, 1, 2))
        assert torch.equal(split.labels, torch.from_numpy(pixels.y))
    assert dataset.classes == tuple("0123456789")


@pytest.mark.parametrize("part", ["train", "test"])
def test_both_files_are_needed(part: str, tmp_path: Path) -> None:
    (svhn(tmp_path, KNOWN) / f"{part}_32x32.mat").unlink()
    with pytest.raises(DataError, match=f"{part}_32x32.mat: is not there; expected"):
        load_dataset("svhn", data_dir=tmp_path, known=KNOWN)


@pytest.mark.parametrize("keep", [0, 100, 0.6])
def test_a_truncated_file_is_refused_by_name(keep: float, tmp_path: Path) -> None:
    path = svhn(tmp_path, KNOWN) / "test_32x32.mat"
    content = path.read_bytes()
    path.write_bytes(content[: keep if isinstance(keep, int) else int(len(content) * keep)])
    with pytest.raises(DataError, match=r"test_32x32\.mat: truncated or not an SVHN file"):
        load_dataset("svhn", data_dir=tmp_path, known=KNOWN)


def test_other_counts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="30 train images; svhn has 73257"):
        load_dataset("svhn", data_dir=svhn(tmp_path, KNOWN))
