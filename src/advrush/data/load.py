"""Load a data set by name and folder as uint8 tensors: find, decode once, validate, cache."""

from __future__ import annotations

from pathlib import Path

import torch

from advrush.config import did_you_mean
from advrush.data import cache, digits, readers
from advrush.data.dataset import Dataset, Split
from advrush.data.known import KNOWN, Known, check_name
from advrush.data.raw import Raw, Source, check_raw
from advrush.data.readers.folder import ENDINGS
from advrush.errors import DataError
from advrush.reading.gate import reading

HUB = "hub"
"""The `data_dir` that asks for the Hugging Face hub."""


def load_dataset(
    name: str,
    *,
    data_dir: Path | str | None = None,
    cache_dir: Path | str | None = None,
    partial: bool = False,
    known: Known | None = None,
    image_size: int | None = None,
) -> Dataset:
    """Return a data set as uint8 tensors.

    Args:
        name: digits, cifar10, cifar100, svhn, tiny_imagenet, mnist, fashion_mnist, or any other word for
            data of one's own.
        data_dir: the folder (or archive) it lies in, or a folder that holds it in a subfolder called `name`;
            "hub" downloads it from the Hugging Face hub. Not used for digits.
        cache_dir: where decoded tensors are kept; $ADVRUSH_CACHE or ~/.cache/advrush unless given.
        partial: accept counts other than the published ones (a sample).
        known: what is known of the data set, in place of its row in KNOWN.
        image_size: side in pixels to which images of a folder that are no squares of one size are resized and cropped;
            squares of one size stay as they are (`DataConfig` resizes these).

    Raises DataError where it is not there (saying how to get it), is truncated, or is not what it claims to be.
    """
    check_name(name)
    if name == "digits":
        raw = digits.read()
        return _dataset(name, raw, raw.checksum(), None)
    known = known or KNOWN.get(name)
    if data_dir is None:
        raise DataError(_how_to_get(name, known))
    with reading(data_dir, f"the data set {name}", DataError):
        source = _find(name, data_dir, known, partial)
    if image_size is not None and source.fit is not None:
        source = source.fit(image_size)
    path = cache.place(cache_dir, name, source)
    stored = None if path is None else cache.read(path)
    with reading(source.place, f"the data set {name}", DataError):
        raw, checksum = stored if stored is not None else (source.read(), None)
    check_raw(raw, source.place, known, partial=partial)
    if checksum is None:
        checksum = raw.checksum()
        if path is not None:
            cache.write(path, raw, checksum)
    return _dataset(name, raw, checksum, known)


def _find(name: str, data_dir: Path | str, known: Known | None, partial: bool) -> Source:
    if str(data_dir) == HUB:
        if known is None:
            hint = did_you_mean(name, KNOWN)
            raise DataError(f"{name}: not a known name{hint}; the hub is asked for {', '.join(KNOWN)} only")
        return readers.hub.find(known)
    root = Path(data_dir).expanduser()
    if not root.exists():
        raise DataError(f"{root}: no such file or folder. {_how_to_get(name, known)}")
    counts = None if partial else known
    for folder in (root / name, root):
        source = readers.find(name, folder, counts) if folder.exists() else None
        if source is not None:
            return source
    if root.is_dir() and any(path.suffix.lower() in ENDINGS for path in root.iterdir()):
        raise DataError(f"{root}: images, but no folder for each class; perhaps {root.parent} is meant, which holds it")
    inside = ", ".join(sorted(path.name for path in root.iterdir())[:8]) if root.is_dir() else "a file"
    raise DataError(f"{root}: no {name} in it (found: {inside or 'nothing'}). {_how_to_get(name, known)}")


def _how_to_get(name: str, known: Known | None) -> str:
    if known is not None:
        return (
            f"{name} does not come with the install: give --data-dir (data_dir=) with {known.how}; or with the "
            f"parquet files of {known.hub}; or the word `{HUB}` to download these (needs the extra: pip install "
            "'advrush[hf]')"
        )
    return (
        f"{name} is not a known data set{did_you_mean(name, (*KNOWN, 'digits'))}; for data of your own give --data-dir "
        "(data_dir=) with a folder for each class, perhaps below train/ and test/, or with train.npz and test.npz"
    )


def _dataset(name: str, raw: Raw, checksum: str, known: Known | None) -> Dataset:
    mean, std = (known.mean, known.std) if known is not None else statistics(raw.train)
    return Dataset(name, raw.train, raw.test, raw.validation, raw.classes, mean, std, checksum)


def statistics(split: Split) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation of each channel over [0, 1] pixels, from exact counts of the 256 values."""
    levels = torch.arange(256, dtype=torch.float64) / 255
    means, deviations = [], []
    for channel in split.images.unbind(1):
        share = torch.bincount(channel.flatten(), minlength=256).double() / channel.numel()
        mean = (share * levels).sum()
        means.append(float(mean))
        deviations.append(float((share * (levels - mean).square()).sum().sqrt().clamp_min(1e-4)))
    return tuple(means), tuple(deviations)
