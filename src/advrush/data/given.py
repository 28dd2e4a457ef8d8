"""Data sets from arrays, or from data sets and loaders of torch and Hugging Face, in a running program."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from advrush.config import check
from advrush.data.dataset import Dataset, Split
from advrush.errors import DataError, kind_of

IMAGES = ("image", "img", "images", "pixel_values", "x")
LABELS = ("label", "labels", "fine_label", "y", "target")
NUMBERS = "biufc"
"""Kinds of NumPy types that torch can hold."""
EXPECTED = (
    "a pair (images, labels), a Dataset or Split, a DataLoader, or a data set of torch or Hugging Face whose examples "
    "are pairs or dictionaries with an image and a label"
)


def images_and_labels(data: Any, *, limit: int | None = None) -> tuple[Tensor, Tensor]:
    """Return images float32 (N, C, H, W) in [0, 1] and labels int64 (N,).

    Args:
        data: a pair of arrays or tensors, a `Dataset` (its test split), a `Split`, a DataLoader, or any data set with
            a length and items. Images are (N, C, H, W) or (N, H, W, C), uint8 or floats in [0, 1]; PIL images are
            read.
        limit: at most this many of the first examples.

    Raises DataError for anything else.
    """
    check(limit is None or (type(limit) is int and limit >= 1), "limit", limit, "a whole number >= 1, or None for all")
    if isinstance(data, Dataset):
        data = data.test
    if isinstance(data, Split):
        return _pixels(data.images[:limit]), data.labels[:limit].long()
    if isinstance(data, tuple | list) and len(data) == 2 and all(hasattr(part, "shape") for part in data):
        images, labels = (_tensor(part, name) for part, name in zip(data, ("images", "labels"), strict=True))
        images, labels = (part[:limit] if part.ndim else part for part in (images, labels))
    else:
        images, labels = _gathered(data, limit)
    if images.ndim != 4 or labels.shape != (len(images),):
        found = f"images of shape {tuple(images.shape)}, labels of shape {tuple(labels.shape)}"
        raise DataError(f"data: got {found}; expected (N, C, H, W) and (N,)")
    if images.shape[1] not in (1, 3) and images.shape[-1] in (1, 3):
        images = images.permute(0, 3, 1, 2)
    return _pixels(images), _indices(labels)


def _gathered(data: Any, limit: int | None) -> tuple[Tensor, Tensor]:
    """Return the first examples, in batches or one by one, as tensors."""
    indexed = hasattr(data, "__len__") and hasattr(data, "__getitem__")
    if isinstance(data, Mapping) or not (indexed or isinstance(data, Iterable)):
        raise DataError(f"data: got {kind_of(data)}; expected {EXPECTED}")
    images: list[Tensor] = []
    labels: list[Tensor] = []
    count = 0
    for item in _items(data) if indexed else data:
        image, label = _pair(item)
        x, y = _array(image), _tensor(label, "labels")
        images.append(x if x.ndim == 4 else x[None])
        labels.append(y.reshape(-1))
        count += len(labels[-1])
        if limit is not None and count >= limit:
            break
    if not images:
        raise DataError("data: no examples in it")
    if len(shapes := {tuple(part.shape[1:]) for part in images}) > 1:
        raise DataError(f"data: images of shapes {', '.join(map(str, sorted(shapes)))}; expected one shape")
    return torch.cat(images)[:limit], torch.cat(labels)[:limit]


def _items(data: Any) -> Iterator[Any]:
    return (data[i] for i in range(len(data)))


def _pair(item: Any) -> tuple[Any, Any]:
    """Return image and label of an example or a batch."""
    if isinstance(item, Mapping):
        keys = [next((key for key in names if key in item), None) for names in (IMAGES, LABELS)]
        if None not in keys:
            return item[keys[0]], item[keys[1]]
        raise DataError(f"data: examples with {', '.join(map(str, item))}; expected an image and a label")
    if isinstance(item, tuple | list) and len(item) >= 2:
        return item[0], item[1]
    raise DataError(f"data: examples are {type(item).__name__}; expected pairs of image and label, or dictionaries")


def _array(image: Any) -> Tensor:
    """Return a tensor; of a PIL image (C, H, W) uint8."""
    if isinstance(image, Tensor):
        return image
    array = np.asarray(image if not isinstance(image, Iterable) or hasattr(image, "shape") else list(image))
    if array.dtype.kind not in NUMBERS:
        return _tensor(array, "images")
    if hasattr(image, "mode"):  # a PIL image: rows, columns, channels
        array = array[None] if array.ndim == 2 else array.transpose(2, 0, 1)
    return torch.from_numpy(np.array(array))


def _tensor(values: Any, name: str) -> Tensor:
    """Return the tensor of an array or number, copied where torch cannot share it; DataError for what is no number."""
    if isinstance(values, Tensor):
        if values.layout != torch.strided or values.is_meta:
            raise DataError(f"{name}: got a tensor of {values.layout} on {values.device}; expected a dense one")
        return values
    try:
        array = np.asarray(values)
    except (ValueError, TypeError) as error:
        raise DataError(f"{name}: got {kind_of(values)} ({error}); expected numbers") from None
    if array.dtype.kind not in NUMBERS or isinstance(values, np.ma.MaskedArray):
        raise DataError(f"{name}: got {kind_of(values)} of {array.dtype}; expected numbers")
    return torch.from_numpy(np.array(array, dtype=array.dtype.newbyteorder("=")))


def _indices(labels: Tensor) -> Tensor:
    """Return int64; DataError for what is no whole number."""
    if labels.dtype == torch.bool or labels.is_complex():
        raise DataError(f"labels: got {labels.dtype}; expected whole numbers, one class index for each image")
    if labels.is_floating_point() and not bool((labels == labels.round()).all()):
        odd = float(labels[labels != labels.round()][0])
        raise DataError(f"labels: got {odd:g}; expected whole numbers, one class index for each image")
    return labels.long()


def _pixels(images: Tensor) -> Tensor:
    """Return float32 in [0, 1]; uint8 is divided by 255. Raises DataError for other integers and complex numbers."""
    if images.dtype == torch.uint8:
        if images.numel() and int(images.amax()) <= 1:
            raise DataError(
                f"images: got uint8 of at most {int(images.amax())}, black; expected 0 to 255: were pixels in [0, 1] "
                "made bytes? Give them as floats"
            )
        return images.float() / 255
    if not images.is_floating_point():
        raise DataError(f"images: got {images.dtype}; expected uint8, or floats in [0, 1]: divide bytes by 255")
    return images.float()
