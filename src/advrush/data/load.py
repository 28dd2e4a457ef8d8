"""From a data set's name and a folder to uint8 tensors: found, decoded once, checked, cached."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from advrush.config import did_you_mean
from advrush.data import cache, readers
from advrush.data.dataset import Dataset, Split
from advrush.data.known import KNOWN, Known
from advrush.data.raw import Raw, Reader, check_raw
from advrush.data.readers import hub
from advrush.errors import DataError


def load_dataset(
    name: str,
    *,
    data_dir: Path | str | None = None,
    cache_dir: Path | str | None = None,
    partial: bool = False,
    known: Known | None = None,
) -> Dataset:
    """Return a data set as uint8 tensors.

    Args:
        name: digits, cifar10, cifar100, svhn, tiny_imagenet, or any other word for data of one's own.
        data_dir: the folder (or archive) it lies in; "hub" asks the Hugging Face hub. Not needed for digits.
        cache_dir: where decoded tensors are kept; $ADVRUSH_CACHE or ~/.cache/advrush unless given.
        partial: accept counts other than the published ones.
        known: what is known of the data set, in place of the table KNOWN.

    Raises DataError where it is not there (saying how to get it), is truncated, or is not what it claims to be.
    """
    known = known or KNOWN.get(name)
    if name == "digits":
        return _dataset(name, _digits(), None)
    if data_dir is None:
        raise DataError(_absent(name, known))
    if str(data_dir) == "hub":
        if known is None:
            raise DataError(f"{name}: not a known name{did_you_mean(name, KNOWN)}; the hub serves {', '.join(KNOWN)}")
        return _dataset(name, check_raw(hub.read(known), known.hub, known, partial=partial), known)
    reader, files = _find(name, Path(data_dir), known)
    return _dataset(name, _cached(reader, files, str(data_dir), known, partial, cache_dir), known)


def _find(name: str, data_dir: Path, known: Known | None) -> tuple[Reader, Sequence[Path]]:
    if not data_dir.exists():
        raise DataError(f"{data_dir}: no such folder. {_absent(name, known)}")
    found = readers.find(name, data_dir)
    if found is None:
        inside = ", ".join(sorted(path.name for path in data_dir.iterdir())[:8]) if data_dir.is_dir() else "a file"
        raise DataError(f"{data_dir}: no {name} in it (it holds: {inside or 'nothing'}). {_absent(name, known)}")
    return found


def _absent(name: str, known: Known | None) -> str:
    if known is not None:
        return (
            f"{name} does not come with the install: give --data-dir (data_dir=) with {known.how}, with parquet files of "
            f"{known.hub}, or `hub` to download it (extra `hf`)"
        )
    near = did_you_mean(name, (*KNOWN, "digits"))
    return (
        f"{name}{near} is not a known data set; for data of your own give --data-dir (data_dir=) with a folder for each "
        "class (perhaps below train/ and test/) or with train.npz and test.npz"
    )


def _cached(
    reader: Reader, files: Sequence[Path], where: str, known: Known | None, partial: bool, cache_dir: Path | str | None
) -> Raw:
    folder = Path(cache_dir or os.environ.get("ADVRUSH_CACHE") or Path.home() / ".cache" / "advrush")
    path = folder / f"{cache.key(files)}.safetensors"
    raw = cache.read(path)
    fresh = raw is None
    raw = check_raw(raw or reader(), where, known, partial=partial)
    if fresh:
        cache.write(path, raw)
    return raw


def _dataset(name: str, raw: Raw, known: Known | None) -> Dataset:
    mean, std = (known.mean, known.std) if known else _statistics(raw.train)
    return Dataset(name, raw.train, raw.test, raw.validation, raw.classes, mean, std, checksum(raw))


def _statistics(split: Split) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation of each channel over [0, 1] pixels (exact sums in int64)."""
    x = split.images.transpose(0, 1).flatten(1).to(torch.int64)
    mean = x.sum(dim=1).double() / x.shape[1]
    variance = (x.square().sum(dim=1).double() / x.shape[1] - mean.square()).clamp_min(1e-8)
    return tuple((mean / 255).tolist()), tuple((variance.sqrt() / 255).tolist())


def checksum(raw: Raw) -> str:
    """Return 16 hexadecimal digits of the decoded content."""
    digest = hashlib.sha256()
    for split in (raw.train, raw.test, *([raw.validation] if raw.validation else [])):
        digest.update(split.images.contiguous().numpy().tobytes())
        digest.update(split.labels.numpy().tobytes())
    return digest.hexdigest()[:16]


def _digits() -> Raw:
    """Return scikit-learn's 1,797 handwritten digits: 8x8 pixels, 17 gray levels; every fifth of a class is a test image."""
    from sklearn.datasets import load_digits

    content = load_digits()
    images = torch.from_numpy(np.rint(content.images * (255 / 16)).astype(np.uint8))[:, None]
    labels = torch.from_numpy(content.target.astype(np.int64))
    test = torch.zeros(len(labels), dtype=torch.bool)
    for digit in range(10):
        test[(labels == digit).nonzero().flatten()[4::5]] = True
    everything = Split(images, labels)
    train_rows, test_rows = (~test).nonzero().flatten(), test.nonzero().flatten()
    return Raw(everything.subset(train_rows), everything.subset(test_rows), tuple(str(digit) for digit in range(10)))
