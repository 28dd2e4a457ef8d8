"""Batches: each example once an epoch, the same for the same seed, the same for any number of processes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from advrush.data import Augment, Split, batches, epoch_batches, split_half
from advrush.errors import ConfigError


def numbered(count: int, size: int = 4) -> Split:
    """Return images that differ everywhere, labeled 0 .. count - 1."""
    pixels = torch.randint(1, 256, (count, 3, size, size), generator=torch.Generator().manual_seed(9))
    return Split(pixels.to(torch.uint8), torch.arange(count))


@given(count=st.integers(1, 40), batch_size=st.integers(1, 50), epoch=st.integers(0, 3), shuffle=st.booleans())
@settings(max_examples=50, deadline=None)
def test_each_example_comes_once(count: int, batch_size: int, epoch: int, shuffle: bool) -> None:
    split = numbered(count)
    got = list(epoch_batches(split, batch_size=batch_size, seed=1, epoch=epoch, drop_last=False, shuffle=shuffle))
    labels = torch.cat([y for _, y in got])
    assert sorted(labels.tolist()) == list(range(count))
    assert all(len(y) == batch_size for _, y in got[:-1])
    x = torch.cat([x for x, _ in got])
    assert x.dtype == torch.float32 and torch.equal((x * 255).round().to(torch.uint8), split.images[labels])
    assert shuffle or labels.tolist() == list(range(count))


def test_the_rest_is_dropped_where_asked() -> None:
    got = [y for _, y in epoch_batches(numbered(23), batch_size=5, seed=0, epoch=0)]
    assert [len(y) for y in got] == [5] * 4 and len(torch.cat(got).unique()) == 20


@given(world=st.integers(1, 5), batch_size=st.integers(5, 12), drop_last=st.booleans(), seed=st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_processes_share_the_batch_of_one(world: int, batch_size: int, drop_last: bool, seed: int) -> None:
    split = numbered(31)

    def draw(rank: int, world: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
        augment = Augment(crop=1, cutout=2)
        return list(
            epoch_batches(
                split,
                batch_size=batch_size,
                seed=seed,
                epoch=3,
                augment=augment,
                rank=rank,
                world=world,
                drop_last=drop_last,
            )
        )

    whole, parts = draw(0, 1), [draw(rank, world) for rank in range(world)]
    for i, (x, y) in enumerate(whole):
        for rank in range(world):
            assert torch.equal(parts[rank][i][0], x[rank::world]) and torch.equal(parts[rank][i][1], y[rank::world])
    assert {len(part) for part in parts} == {len(whole)}


def test_seed_and_epoch_decide_and_nothing_else() -> None:
    split = numbered(32)

    def draw(seed: int, epoch: int) -> torch.Tensor:
        return torch.cat([x for x, _ in epoch_batches(split, batch_size=8, seed=seed, epoch=epoch, augment=Augment(1))])

    first = draw(0, 0)
    torch.manual_seed(123)
    before = torch.get_rng_state()
    assert torch.equal(draw(0, 0), first)
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(draw(0, 1), first) and not torch.equal(draw(1, 0), first)


def test_augmentation_does_not_touch_the_split() -> None:
    split = numbered(16)
    kept = split.images.clone()
    for x, _ in epoch_batches(split, batch_size=8, seed=0, epoch=0, augment=Augment(2, True, 3)):
        x.zero_()
    assert torch.equal(split.images, kept)


@pytest.mark.parametrize(("batch_size", "world"), [(0, 1), (17, 1), (2, 3), (-1, 1)])
def test_a_batch_that_cannot_be_is_refused_at_once(batch_size: int, world: int) -> None:
    with pytest.raises(ConfigError, match=f"batch_size: got {batch_size}; expected {world} to 16"):
        epoch_batches(numbered(16), batch_size=batch_size, seed=0, epoch=0, world=world)


def test_evaluation_order_is_the_splits() -> None:
    split = numbered(10)
    got = list(batches(split, 4))
    assert [len(y) for _, y in got] == [4, 4, 2]
    assert torch.equal(torch.cat([y for _, y in got]), split.labels)
    assert torch.equal(torch.cat([x for x, _ in got]), split.images.float() / 255)


@given(count=st.integers(0, 41), seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_halves_are_even_and_disjoint(count: int, seed: int) -> None:
    one, two = split_half(numbered(count), seed)
    again, _ = split_half(numbered(count), seed)
    assert len(one) == len(two) == count // 2
    assert len({*one.labels.tolist(), *two.labels.tolist()}) == 2 * (count // 2)
    assert torch.equal(one.labels, again.labels)


def test_halves_depend_on_the_seed() -> None:
    assert split_half(numbered(40), 0)[0].labels.tolist() != split_half(numbered(40), 1)[0].labels.tolist()
