"""Crop, flip and cutout against a loop over the images."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from advrush.data import Augment, Split, epoch_batches
from advrush.data.augment import AugmentParameters
from advrush.errors import ConfigError


def by_loop(images: Tensor, augment: Augment, params: AugmentParameters) -> Tensor:
    """Do it image by image and pixel by pixel."""
    result = torch.zeros_like(images)
    n, _, height, width = images.shape
    for i in range(n):
        for row in range(height):
            for column in range(width):
                across = width - 1 - column if augment.flip and bool(params.flip[i]) else column
                y = row + int(params.top[i]) - augment.crop
                x = across + int(params.left[i]) - augment.crop
                top, left = (
                    int(params.row[i]) - augment.cutout // 2,
                    int(params.column[i]) - augment.cutout // 2,
                )
                hole = top <= row < top + augment.cutout and left <= column < left + augment.cutout
                if 0 <= y < height and 0 <= x < width and not hole:
                    result[i, :, row, column] = images[i, :, y, x]
    return result


@given(
    count=st.integers(1, 4),
    channels=st.sampled_from([1, 3]),
    height=st.integers(1, 7),
    width=st.integers(1, 7),
    crop=st.integers(0, 3),
    flip=st.booleans(),
    cutout=st.integers(0, 9),
    seed=st.integers(0, 1000),
)
@settings(max_examples=60, deadline=None)
def test_equals_a_loop_over_pixels(
    count: int, channels: int, height: int, width: int, crop: int, flip: bool, cutout: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(1, 256, (count, channels, height, width), generator=generator, dtype=torch.uint8)
    augment = Augment(crop, flip, cutout)
    params = AugmentParameters.of(augment, count, images.shape[-2:], generator)
    assert torch.equal(augment.apply(images, params), by_loop(images, augment, params))


def test_all_offsets_and_both_sides_are_drawn_evenly() -> None:
    augment = Augment(crop=2, flip=True, cutout=3)
    params = AugmentParameters.of(augment, 20_000, torch.Size([8, 6]), torch.Generator().manual_seed(0))
    for values, limit in (
        (params.top, 5),
        (params.left, 5),
        (params.flip.long(), 2),
        (params.row, 8),
        (params.column, 6),
    ):
        shares = values.bincount(minlength=limit) / 20_000
        assert len(shares) == limit and (shares - 1 / limit).abs().max() < 0.02


def test_nothing_switched_on_changes_nothing() -> None:
    images = torch.randint(0, 256, (5, 3, 8, 8), dtype=torch.uint8)
    nothing = Augment(crop=0, flip=False, cutout=0)
    params = AugmentParameters.of(nothing, 5, images.shape[-2:], torch.Generator().manual_seed(0))
    assert torch.equal(nothing.apply(images, params), images)


@pytest.mark.parametrize("field", ["crop", "cutout"])
def test_negative_pixels_are_refused(field: str) -> None:
    with pytest.raises(ConfigError, match=f"augment.{field}: got -1"):
        Augment(**{field: -1})


def test_a_hole_of_the_mean_color_is_zero_once_normalized() -> None:
    mean, std = (0.3, 0.51, 0.7), (0.2, 0.25, 0.3)
    split = Split(torch.full((8, 3, 6, 6), 255, dtype=torch.uint8), torch.zeros(8, dtype=torch.int64))
    augment = Augment(crop=0, flip=False, cutout=3, cutout_fill="mean")
    (x, _), *_ = epoch_batches(split, batch_size=8, seed=0, epoch=0, augment=augment, mean=mean)
    z = (x - torch.tensor(mean).view(1, 3, 1, 1)) / torch.tensor(std).view(1, 3, 1, 1)
    holes = (z == 0).all(dim=1)
    assert holes.flatten(1).any(dim=1).all()
    (black, _), *_ = epoch_batches(split, batch_size=8, seed=0, epoch=0, augment=Augment(0, False, 3), mean=mean)
    assert torch.equal(holes, (black == 0).all(dim=1))
    assert (x[~holes[:, None].expand_as(x)] == 1).all()
    with pytest.raises(ConfigError, match="cutout_fill"):
        next(iter(epoch_batches(split, batch_size=8, seed=0, epoch=0, augment=augment)))
