"""Random crop, flip and cutout of a whole batch by indexing: no loop over images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import pad

from advrush.config import check


@dataclass(frozen=True)
class Augment:
    """Random changes of training images."""

    crop: int = 4
    """Zero padding of the random crop, in pixels (0: no crop)."""
    flip: bool = True
    """Mirror half of the images left to right."""
    cutout: int = 0
    """Side of the square that is cut out around a random pixel (0: none)."""
    cutout_fill: Literal["mean"] | None = None
    """`mean`: the hole has the data's mean color, 0 once images are normalized, as in the published code; black unless
    given."""

    def __post_init__(self) -> None:
        check(self.crop >= 0, "augment.crop", self.crop, "a number of pixels >= 0")
        check(self.cutout >= 0, "augment.cutout", self.cutout, "a number of pixels >= 0")
        check(self.cutout_fill in (None, "mean"), "augment.cutout_fill", self.cutout_fill, "mean, or nothing (black)")

    def apply(self, images: Tensor, params: AugmentParameters, mean: Tensor | None = None) -> Tensor:
        """Return the images (N, C, H, W) of any type changed by their parameters: crop, then flip, then cutout.

        `mean` is the data's mean color (C,) in [0, 1], which `cutout_fill = "mean"` needs (ConfigError without it):
        then uint8 images come back as float32 in [0, 1], since the mean is no whole number of 255ths.
        """
        images = crop_and_flip(images, self.crop, params) if self.crop or self.flip else images
        if not self.cutout or self.cutout_fill is None:
            return cut_out(images, self.cutout, params) if self.cutout else images
        check(mean is not None, "augment.cutout_fill", self.cutout_fill, "black here: the data's mean is not known")
        return cut_out(images if images.is_floating_point() else images.float() / 255, self.cutout, params, fill=mean)


@dataclass(frozen=True, eq=False)
class AugmentParameters:
    """The random parameters of N images; int64 (N,), `flip` bool (N,)."""

    top: Tensor
    left: Tensor
    flip: Tensor
    row: Tensor
    column: Tensor

    @classmethod
    def of(cls, augment: Augment, count: int, size: torch.Size, generator: torch.Generator) -> AugmentParameters:
        """Draw for images of `size` (H, W): the same numbers of the generator whatever is switched off."""
        shifts = 2 * augment.crop + 1
        limits = (shifts, shifts, 2, int(size[0]), int(size[1]))
        top, left, flip, row, column = (torch.randint(n, (count,), generator=generator) for n in limits)
        return cls(top, left, flip.bool() if augment.flip else torch.zeros(count, dtype=torch.bool), row, column)

    def to(self, device: torch.device) -> AugmentParameters:
        """Return the parameters on a device."""
        return AugmentParameters(
            *(value.to(device) for value in (self.top, self.left, self.flip, self.row, self.column))
        )

    def at(self, rows: slice) -> AugmentParameters:
        """Return the parameters of some of the images."""
        return AugmentParameters(*(value[rows] for value in (self.top, self.left, self.flip, self.row, self.column)))


def crop_and_flip(images: Tensor, padding: int, params: AugmentParameters) -> Tensor:
    """Cut a window of the original size out of each zero-padded image and mirror some, in one indexing."""
    n, c, height, width = images.shape
    padded = pad(images, (padding,) * 4)
    across = torch.arange(width, device=images.device)
    rows = params.top[:, None] + torch.arange(height, device=images.device)
    columns = params.left[:, None] + torch.where(params.flip[:, None], width - 1 - across, across)
    places = (rows[:, :, None] * padded.shape[-1] + columns[:, None, :]).view(n, 1, height * width)
    return padded.flatten(2).gather(2, places.expand(n, c, height * width)).view(n, c, height, width)


def cut_out(images: Tensor, side: int, params: AugmentParameters, *, fill: Tensor | None = None) -> Tensor:
    """Give the square of `side` pixels around each image's own pixel, clipped at the border, a color (C,) or black."""
    height, width = images.shape[-2:]

    def inside(length: int, center: Tensor) -> Tensor:
        first = (center - side // 2)[:, None]
        positions = torch.arange(length, device=images.device)
        return (positions >= first) & (positions < first + side)

    hole = inside(height, params.row)[:, None, :, None] & inside(width, params.column)[:, None, None, :]
    return images.masked_fill(hole, 0) if fill is None else torch.where(hole, fill.view(1, -1, 1, 1), images)
