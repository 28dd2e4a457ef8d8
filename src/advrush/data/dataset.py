"""Data sets as uint8 tensors: images in memory or on a device, labels, names, statistics."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Split:
    """Images uint8 (N, C, H, W) and labels int64 (N,)."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device | str) -> Split:
        """Return the split on a device."""
        return Split(self.images.to(device), self.labels.to(device))

    def pixels(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """Return the images (N, C, H, W) as pixels in [0, 1]."""
        return self.images.to(dtype) / 255

    def subset(self, indices: Tensor) -> Split:
        """Return the examples at `indices`, in that order."""
        indices = indices.to(self.labels.device)
        return Split(self.images[indices], self.labels[indices])


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set: its splits, class names, channel statistics over [0, 1] pixels, checksum of the content."""

    name: str
    train: Split
    test: Split
    validation: Split | None
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    checksum: str
    test_index: Tensor | None = None
    """(N,) int64: which of all test images these are; None for all of them in order."""
    resized: bool = False
    """Whether the images were brought to another size, of which `checksum` tells nothing; `mean` and `std` do."""

    @property
    def identity(self) -> dict[str, str]:
        """Return what a run records of its images, and compares when it is opened again."""
        if not self.resized:
            return {"data": self.checksum}
        mean, std = (",".join(f"{value:.6f}" for value in values) for values in (self.mean, self.std))
        return {"data": self.checksum, "normalization": f"{mean}/{std}"}

    @property
    def image_size(self) -> int:
        """Return the side of the (square) images in pixels."""
        return int(self.train.images.shape[-1])

    @property
    def channels(self) -> int:
        """Return 1 for gray images, 3 for color."""
        return int(self.train.images.shape[1])

    @property
    def num_classes(self) -> int:
        """Return the number of classes."""
        return len(self.classes)
