"""Data sets from arrays, or from data sets and loaders of torch and Hugging Face, in a running program."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from advrush.data.dataset import Dataset, Split
from advrush.errors import DataError, kind_of

IMAGES = ("image", "img", "images", "pixel_values", "x")
LABELS = ("label", "labels", "fine_label", "y", "target")
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
    if isinstance(data, Dataset):
        data = data.test
    if isinstance(data, Split):
        return _pixels(data.images[:limit]), data.labels[:limit].long()
    if isinstance(data, tuple | list) and len(data) == 2 and all(hasattr(part, "shape") for part in data):
        images, labels = (torch.as_tensor(part)[:limit] for part in data)
    else:
        images, labels = _gathered(data, limit)
    if images.ndim != 4 or labels.shape != (len(images),):
        found = f"images of shape {tuple(images.shape)}, labels of shape {tuple(labels.shape)}"
        raise DataError(f"data: got {found}; expected (N, C, H, W) and (N,)")
    if images.shape[1] not in (1, 3) and images.shape[-1] in (1, 3):
        images = images.permute(0, 3, 1, 2)
    return _pixels(images), labels.long()


def _gathered(data: Any, limit: int | None) -> tuple[Tensor, Tensor]:
    """Return the first examples, in batches or one by one, as tensors."""
    indexed = hasattr(data, "__len__") and hasattr(data, "__getitem__")
    if not indexed and not isinstance(data, Iterable):
        raise DataError(f"data: got {kind_of(data)}; expected {EXPECTED}")
    images: list[Tensor] = []
    labels: list[Tensor] = []
    count = 0
    for item in _items(data) if indexed else data:
        image, label = _pair(item)
        x, y = _array(image), torch.as_tensor(label)
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
    if hasattr(image, "mode"):  # a PIL image: rows, columns, channels
        array = array[None] if array.ndim == 2 else array.transpose(2, 0, 1)
    return torch.from_numpy(np.array(array))


def _pixels(images: Tensor) -> Tensor:
    """Return float32 in [0, 1]; uint8 is divided by 255."""
    return images.float() / 255 if images.dtype == torch.uint8 else images.float()
