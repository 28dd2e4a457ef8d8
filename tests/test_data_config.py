"""How much of a data set: subsets in equal shares, resizing, refused values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from advrush.config import digest, from_dict, to_dict
from advrush.data import DataConfig
from advrush.errors import ConfigError
from data_files import Pixels, class_folders


def test_subsets_have_equal_shares_and_keep_the_order() -> None:
    whole = DataConfig("digits").load()
    part = DataConfig("digits", train_examples=203, test_examples=50).load()
    counts = part.train.labels.bincount()
    assert len(part.train) == 203 and int(counts.max() - counts.min()) <= 1
    assert part.test.labels.bincount().tolist() == [5] * 10
    again = DataConfig("digits", train_examples=203).load()
    assert torch.equal(part.train.images, again.train.images) and len(again.test) == len(whole.test)
    places = [(whole.train.images == image).flatten(1).all(1).nonzero()[0].item() for image in part.train.images[:60]]
    assert places == sorted(places)
    assert part.mean == whole.mean


def test_a_smaller_subset_is_part_of_a_larger_one() -> None:
    small = DataConfig("digits", train_examples=100).load().train.images.flatten(1)
    large = DataConfig("digits", train_examples=300).load().train.images.flatten(1)
    assert all((large == image).all(1).any() for image in small)


def test_scarce_classes_give_all_they_have(tmp_path: Path) -> None:
    pixels = Pixels(60, 3, 4, 0)
    pixels.y[:] = 0
    pixels.y[:10], pixels.y[10:20] = 1, 2
    class_folders(tmp_path, pixels)
    train = DataConfig("own", train_examples=36).load(tmp_path).train
    assert train.labels.bincount().tolist() == [20, 8, 8]


def test_resizing_interpolates(tmp_path: Path) -> None:
    """A ramp of 10 levels a pixel becomes one of 5 levels a pixel at twice the size, away from the border."""
    ramp = np.broadcast_to((10 * np.arange(8, dtype=np.uint8) + 20)[:, None], (10, 8, 8))
    np.savez(tmp_path / "ramp.npz", images=ramp, labels=np.arange(10) % 2)
    images = DataConfig("own", image_size=16).load(tmp_path / "ramp.npz").train.images
    assert images.dtype == torch.uint8
    assert images.shape[1:] == (1, 16, 16)
    expected = (20 + 10 * ((torch.arange(16) + 0.5) / 2 - 0.5))[1:-1]
    assert (images[0, 0, 1:-1].float() - expected[:, None]).abs().max() <= 0.5
    small = DataConfig("own", image_size=4, train_examples=4).load(tmp_path / "ramp.npz").train.images
    assert small.shape == (4, 1, 4, 4)
    assert small[0, 0, :, 0].float().diff().mean() == pytest.approx(20, abs=3)


@pytest.mark.parametrize("field", ["train_examples", "test_examples", "image_size"])
@pytest.mark.parametrize("value", [0, -5])
def test_values_out_of_range_are_refused(field: str, value: int) -> None:
    with pytest.raises(ConfigError, match=f"data.{field}: got {value}"):
        DataConfig("digits", **{field: value})


def test_sizes_that_take_all_memory_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"data.image_size: got 100000; expected a size in which"):
        DataConfig("digits", image_size=100_000).load()


def test_more_than_there_is_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"data\.train_examples: got 5000; expected at most 1442"):
        DataConfig("digits", train_examples=5000).load()


def test_it_goes_through_plain_values_and_digest() -> None:
    config = DataConfig("cifar100", train_examples=10, partial=True)
    assert from_dict(DataConfig, to_dict(config)) == config
    assert digest(config) != digest(DataConfig("cifar100", train_examples=10))
    with pytest.raises(ConfigError, match="did you mean 'cifar10'"):
        from_dict(DataConfig, {"dataset": "CIFAR10"})


def test_every_image_may_be_for_testing() -> None:
    plain = DataConfig(dataset="digits").load(None)
    everything = DataConfig(dataset="digits", test_all=True).load(None)
    assert len(everything.test) == len(plain.train) + len(plain.test)
    assert torch.equal(everything.train.images, plain.train.images)
    assert torch.equal(everything.test.images[len(plain.train) :], plain.test.images)
