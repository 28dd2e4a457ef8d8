"""Configuration of a data set: its name, and how many images of which size."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from advrush.config import check
from advrush.data.dataset import Dataset, Split
from advrush.data.known import check_name
from advrush.data.load import load_dataset, statistics
from advrush.reading.bounds import LARGEST_SET


@dataclass(frozen=True)
class DataConfig:
    """The images of a run. Where they lie is not part of it: that is `data_dir` of the call."""

    dataset: str = "cifar10"
    """digits, cifar10, cifar100, svhn, tiny_imagenet, mnist, fashion_mnist; any other word: your images in data_dir."""
    train_examples: int | None = None
    """Use this many training images, the same share of each class (all unless given)."""
    test_examples: int | None = None
    """Use this many test images, the same share of each class (all unless given)."""
    image_size: int | None = None
    """Resize the images to this side in pixels (as they are unless given), those of a folder in any shapes cut to the
    square in their middle; mean and deviation are computed anew."""
    test_all: bool = False
    """Test on every image, those for training too: for a network that was trained elsewhere."""
    partial: bool = False
    """Accept a known data set with other counts than the published ones: a sample of it."""

    def __post_init__(self) -> None:
        check_name(self.dataset)
        for name in ("train_examples", "test_examples", "image_size"):
            value = getattr(self, name)
            check(value is None or value >= 1, f"data.{name}", value, "a whole number >= 1")

    def load(self, data_dir: Path | str | None = None, cache_dir: Path | str | None = None) -> Dataset:
        """Read the data set, decoded once, then from the cache; DataError says how to get one that is not there.

        `data_dir` and `cache_dir` as in `load_dataset`. Raises ConfigError for more examples than there are.
        """
        dataset = load_dataset(
            self.dataset, data_dir=data_dir, cache_dir=cache_dir, partial=self.partial, image_size=self.image_size
        )
        if self.test_all:
            both = (dataset.train, dataset.test)
            test = Split(torch.cat([s.images for s in both]), torch.cat([s.labels for s in both]))
            dataset = replace(dataset, test=test)
        train = _reduced(dataset.train, self.train_examples, "data.train_examples", dataset.num_classes)
        index = _chosen(dataset.test, self.test_examples, "data.test_examples", dataset.num_classes)
        test = dataset.test if index is None else dataset.test.subset(index)
        dataset = replace(dataset, train=train, test=test, test_index=index)
        return dataset if self.image_size is None else _resized(dataset, self.image_size)


def _reduced(split: Split, count: int | None, field: str, classes: int) -> Split:
    """Return `count` examples, the classes in equal shares, in their order."""
    index = _chosen(split, count, field, classes)
    return split if index is None else split.subset(index)


def _chosen(split: Split, count: int | None, field: str, classes: int) -> Tensor | None:
    """Return the places of `count` examples, the classes in equal shares, in order; None for all."""
    if count is None:
        return None
    check(count <= len(split), field, count, f"at most {len(split)}, the images there are")
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(len(split), generator=generator)
    labels = split.labels[order]
    rank = torch.zeros(len(order), dtype=torch.long)
    for label in range(classes):
        places = (labels == label).nonzero().flatten()
        rank[places] = torch.arange(len(places))
    by_rank = torch.argsort(rank, stable=True)
    return order[by_rank[:count]].sort().values


def _resized(dataset: Dataset, side: int) -> Dataset:
    """Return the data set with images of side x side pixels (antialiased bilinear) and the statistics of these."""
    if side == dataset.image_size:
        return dataset

    images = sum(len(part) for part in (dataset.train, dataset.test, dataset.validation or ()))
    fits = images * dataset.channels * side**2 <= LARGEST_SET
    check(fits, "data.image_size", side, f"a size in which {images} images take at most {LARGEST_SET} bytes")

    def resize(images: Tensor) -> Tensor:
        pieces = [images[start : start + 1000].float() for start in range(0, len(images), 1000)]
        resized = [interpolate(piece, (side, side), mode="bilinear", antialias=True) for piece in pieces]
        return torch.cat([piece.round().clamp(0, 255).to(torch.uint8) for piece in resized])

    def change(split: Split) -> Split:
        return Split(resize(split.images), split.labels)

    validation = None if dataset.validation is None else change(dataset.validation)
    train = change(dataset.train)
    mean, std = statistics(train)  # smaller images vary less: the constants of the full size would not fit
    test = change(dataset.test)
    return replace(dataset, train=train, test=test, validation=validation, mean=mean, std=std, resized=True)
