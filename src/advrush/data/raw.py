"""The output of a data reader, and the checks that every data set must pass."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from advrush.data.dataset import Split
from advrush.data.known import Known
from advrush.errors import DataError


@dataclass(frozen=True, eq=False)
class Raw:
    """The splits of one source as they are, with the class names."""

    train: Split
    test: Split
    classes: tuple[str, ...]
    validation: Split | None = None

    def parts(self) -> dict[str, Split]:
        """Return the splits that there are, by name."""
        held = {} if self.validation is None else {"validation": self.validation}
        return {"train": self.train, "test": self.test, **held}

    def checksum(self) -> str:
        """Return 16 hexadecimal digits of the content: pixels, labels, shapes and class names."""
        digest = hashlib.sha256(repr(self.classes).encode())
        for name, split in self.parts().items():
            digest.update(f"{name} {tuple(split.images.shape)}".encode())
            digest.update(split.images.contiguous().numpy().data)
            digest.update(split.labels.contiguous().numpy().data)
        return digest.hexdigest()[:16]


@dataclass(frozen=True)
class Source:
    """A data set that has been found but not yet read."""

    form: str
    """What it looks like, in words: "parquet files", say."""
    place: str
    """Where it is, for messages."""
    files: tuple[Path, ...]
    """All that it is read from; the cache notices when one of them changes."""
    read: Callable[[], Raw] = field(compare=False)
    """Decode it; DataError if it is incomplete or damaged."""
    fit: Callable[[int], Source] | None = field(default=None, compare=False)
    """Of images of any sizes: the source with all resized and cropped to squares of this side in pixels."""


def split_of(images: Any, labels: Any, where: str) -> Split:
    """Return a split of uint8 images (N, H, W, C) or (N, H, W) and N integer labels.

    Raises DataError naming `where` if they are not that.
    """
    images, labels = np.asarray(images), np.asarray(labels)
    if images.ndim == 3:
        images = images[..., None]
    shape = images.shape
    if images.dtype != np.uint8 or images.ndim != 4 or shape[-1] not in (1, 3):
        raise DataError(f"{where}: images are {images.dtype} {shape}; expected uint8 (N, H, W, 1 or 3)")
    if shape[1] != shape[2] or shape[1] == 0:
        raise DataError(f"{where}: images of {shape[2]}x{shape[1]} pixels; expected square ones")
    if labels.shape != (len(images),) or labels.dtype.kind not in "iu":
        found = f"labels are {labels.dtype} {labels.shape} for {len(images)} images"
        raise DataError(f"{where}: {found}; expected one integer for each")
    # Writable: bytes of a file are not, and torch would hand them out as if they were.
    tensor = torch.from_numpy(np.require(images.transpose(0, 3, 1, 2), requirements=["C", "W"]))
    return Split(tensor, torch.from_numpy(labels.astype(np.int64)))


def hold_out(everything: Split, every: int = 5) -> tuple[Split, Split]:
    """Return (train, test): every fifth example of each class, in the given order, is a test image."""
    held = torch.zeros(len(everything), dtype=torch.bool)
    for label in sorted(set(everything.labels.tolist())):
        held[(everything.labels == label).nonzero().flatten()[every - 1 :: every]] = True
    return everything.subset((~held).nonzero().flatten()), everything.subset(held.nonzero().flatten())


def halve(split: Split) -> tuple[Split, Split]:
    """Split a public validation set into validation and test (Table A4): each class's images in turn."""
    order = torch.argsort(split.labels, stable=True)
    return split.subset(order[0::2].sort().values), split.subset(order[1::2].sort().values)


def class_names(labels: Iterable[int], names: Sequence[str] | None) -> tuple[str, ...]:
    """Return the names, or the numbers up to the largest label where there are none.

    Raises DataError for numbers without names that leave one out: labels from 1 on, or with holes, would make a class
    of which there is no image.
    """
    if names is not None:
        return _distinct(names)
    present = {int(label) for label in labels}
    if min(present, default=0) < 0:
        raise DataError(f"labels: got {min(present)}; expected whole numbers from 0 on")
    missing = next((label for label in range(len(present)) if label not in present), None)
    if missing is not None:
        raise DataError(
            f"labels: no image of class {missing}, the largest label is {max(present)}; number the classes from 0 "
            "without holes, or give class_names"
        )
    return tuple(str(i) for i in range(len(present)))


def _distinct(names: Any) -> tuple[str, ...]:
    """Return names as texts; DataError unless they are in one row, each its own and visible."""
    if np.ndim(names) != 1:
        raise DataError(f"class_names: got shape {np.shape(names)}; expected one name for each class")
    found = tuple(str(name) for name in names)
    seen: set[str] = set()
    for name in found:
        if not name.strip() or name in seen:
            again = " twice" if name in seen else ""
            raise DataError(f"class_names: got {name!r}{again}; expected a name for each class")
        seen.add(name)
    return found


def check_raw(raw: Raw, where: str, known: Known | None, *, partial: bool) -> None:
    """Refuse data that is not sound.

    Raises DataError for an empty split, labels out of range, splits of different shapes, and for a known set
    wrong classes, a wrong image size and (unless `partial`) other counts than the published ones.
    """
    shape = tuple(raw.train.images.shape[1:])
    for part, split in raw.parts().items():
        if len(split) == 0:
            raise DataError(f"{where}: no {part} images")
        low, high, last = int(split.labels.min()), int(split.labels.max()), len(raw.classes) - 1
        if low < 0 or high > last:
            raise DataError(f"{where}: {part} labels go from {low} to {high}; expected 0 to {last}")
        if tuple(split.images.shape[1:]) != shape:
            found = f"{part} images are {tuple(split.images.shape[1:])}, training images {shape}"
            raise DataError(f"{where}: {found} (channels, height, width); expected the same")
    if known is not None:
        _check_known(raw, where, known, partial)
    elif int(raw.train.images.amax()) == 1:
        raise DataError(f"{where}: no pixel is brighter than 1 of 255, black; were pixels in [0, 1] made bytes?")


def _check_known(raw: Raw, where: str, known: Known, partial: bool) -> None:
    expected = (len(known.mean), known.image_size, known.image_size)
    shape = tuple(raw.train.images.shape[1:])
    if len(raw.classes) != known.classes or shape != expected:
        found = f"{len(raw.classes)} classes, images of {shape} (channels, height, width)"
        raise DataError(f"{where}: {found}; {known.name} has {known.classes} classes, {expected}")
    if partial:
        return
    counts = {"train": known.train, "test": known.test, "validation": known.validation}
    for part, split in raw.parts().items():
        if len(split) != counts[part]:
            raise DataError(
                f"{where}: {len(split)} {part} images; {known.name} has {counts[part]}. "
                "Truncated; if it is meant to be a sample, set data.partial to true"
            )
