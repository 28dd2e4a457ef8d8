"""What a reader returns, and the checks that every source must pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
import torch
from PIL import Image

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


def split_of(images: Any, labels: Any, where: str) -> Split:
    """Return a split of uint8 images (N, H, W, C) and N labels; DataError naming `where` if they are not that."""
    images, labels = np.asarray(images), np.asarray(labels)
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] not in (1, 3):
        raise DataError(f"{where}: images are {images.dtype} {images.shape}; expected uint8 (N, H, W, 1 or 3)")
    if images.shape[1] != images.shape[2]:
        raise DataError(f"{where}: images are {images.shape[1]}x{images.shape[2]}; expected square ones")
    if labels.shape != (len(images),) or labels.dtype.kind not in "iu":
        raise DataError(f"{where}: labels are {labels.dtype} {labels.shape} for {len(images)} images; expected one integer each")
    tensor = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
    return Split(tensor, torch.from_numpy(labels.astype(np.int64)))


def decode(encoded: Sequence[bytes], names: Sequence[str]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Decode PNG or JPEG files into uint8 (N, H, W, C), gray only if all are; DataError naming a broken one."""
    with ThreadPoolExecutor() as pool:
        images = list(pool.map(_decode, encoded, names))
    gray = all(image.ndim == 2 for image in images)
    images = [image[..., None] if gray else np.stack([image] * 3, -1) if image.ndim == 2 else image for image in images]
    for image, name in zip(images, names, strict=True):
        if image.shape != images[0].shape:
            raise DataError(f"{name}: image of {image.shape[1]}x{image.shape[0]} pixels; expected {images[0].shape[1]}x{images[0].shape[0]} as the first")
    return np.stack(images)


def _decode(encoded: bytes, name: str) -> np.ndarray[Any, np.dtype[np.uint8]]:
    try:
        image = Image.open(BytesIO(encoded))
        return np.asarray(image if image.mode == "L" else image.convert("RGB"))
    except (OSError, ValueError, SyntaxError) as error:
        raise DataError(f"{name}: not a readable image ({error})") from None


def check_raw(raw: Raw, where: str, known: Known | None, *, partial: bool) -> Raw:
    """Refuse labels out of range, splits of different shapes, and (for a known set) wrong counts or sizes."""
    parts = {"train": raw.train, "test": raw.test, **({"validation": raw.validation} if raw.validation else {})}
    for part, split in parts.items():
        if len(split) == 0:
            raise DataError(f"{where}: no {part} images")
        low, high = int(split.labels.min()), int(split.labels.max())
        if low < 0 or high >= len(raw.classes):
            raise DataError(f"{where}: {part} labels go from {low} to {high}; expected 0 to {len(raw.classes) - 1}")
        if split.images.shape[1:] != raw.train.images.shape[1:]:
            raise DataError(f"{where}: {part} images are {tuple(split.images.shape[1:])}; the training images {tuple(raw.train.images.shape[1:])}")
    if known is not None:
        _check_known(raw, where, known, partial)
    return raw


def _check_known(raw: Raw, where: str, known: Known, partial: bool) -> None:
    side = raw.train.images.shape[-1]
    if len(raw.classes) != known.classes or side != known.image_size:
        raise DataError(
            f"{where}: {len(raw.classes)} classes of {side}-pixel images; {known.name} has {known.classes} of {known.image_size} pixels"
        )
    if partial:
        return
    counts = {"train": (len(raw.train), known.train), "test": (len(raw.test), known.test)}
    if raw.validation is not None:
        counts["validation"] = (len(raw.validation), known.validation)
    for part, (found, expected) in counts.items():
        if found != expected:
            raise DataError(
                f"{where}: {found} {part} images; {known.name} has {expected}: truncated, or a sample "
                "(--data.partial true accepts a sample)"
            )


def class_names(labels: Iterable[int], names: Sequence[str] | None) -> tuple[str, ...]:
    """Return the names, or the numbers up to the largest label where there are none."""
    return tuple(str(name) for name in names) if names is not None else tuple(str(i) for i in range(max(labels) + 1))


Reader = Callable[[], Raw]
"""Reads one source that has been found."""
