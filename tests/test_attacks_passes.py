"""Memory that stays while an attack runs, layouts that stay, and points that were found."""

from __future__ import annotations

import os
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from advrush.attacks import AutoAttack, FastModel
from advrush.attacks.found import note_found
from advrush.attacks.passes import kept_memory
from advrush.attacks.passes.chunks import gradient
from advrush.attacks.passes.kept_memory import AFTERWARDS, WITHIN, keeping_freed_memory
from advrush.attacks.threat import flat, like_images

CPU = torch.device("cpu")


class Library:
    """A C library that notes what it is asked."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def mallopt(self, option: int, value: int) -> int:
        self.calls.append((option, value))
        return 1

    def malloc_trim(self, pad: int) -> int:
        self.calls.append("trim")
        return 1


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Library:
    for name in [name for name in os.environ if name.startswith("MALLOC_")]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    own = Library()
    monkeypatch.setattr(kept_memory, "_glibc", lambda: own)
    return own


def test_memory_is_kept_within_and_given_back_afterwards(library: Library) -> None:
    with keeping_freed_memory(CPU):
        assert dict(library.calls) == WITHIN
        library.calls.clear()
    assert library.calls[-1] == "trim"
    assert dict(library.calls[:-1]) == AFTERWARDS


def test_memory_is_given_back_after_an_error(library: Library) -> None:
    with pytest.raises(ValueError, match="broken"), keeping_freed_memory(CPU):
        raise ValueError("broken")
    assert library.calls[-1] == "trim"


@pytest.mark.parametrize("name", ["MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_"])
def test_what_the_user_sets_stays(name: str, library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "131072")
    with keeping_freed_memory(CPU):
        pass
    monkeypatch.delenv(name)
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.trim_threshold=131072")
    with keeping_freed_memory(CPU):
        pass
    assert not library.calls


def test_other_devices_and_libraries_are_left_alone(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    with keeping_freed_memory(torch.device("cuda")):
        pass
    monkeypatch.setattr(kept_memory, "_glibc", lambda: None)
    with keeping_freed_memory(CPU):
        pass
    assert not library.calls


def test_this_library_takes_the_options() -> None:
    library = kept_memory._glibc()
    if library is None:
        pytest.skip("the C library of this machine is not glibc")
    for options in (WITHIN, AFTERWARDS):
        assert all(library.mallopt(option, value) == 1 for option, value in options.items())


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("channels", [1, 3])
def test_images_as_rows_without_a_copy(channels: int, layout: torch.memory_format) -> None:
    x = torch.rand(4, channels, 5, 6).contiguous(memory_format=layout)
    rows = flat(x)
    assert rows.shape == (4, channels * 30)
    assert rows.data_ptr() == x.data_ptr()
    assert torch.equal(like_images(rows, x), x)
    assert like_images(rows.clone(), x).stride() == x.stride()


def test_vectors_are_rows_already() -> None:
    x = torch.rand(4, 7)
    assert torch.equal(flat(x), x)
    assert torch.equal(like_images(flat(x), x), x)


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_gradients_come_in_the_layout_of_the_examples(layout: torch.memory_format) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 36, 5))
    x = torch.rand(6, 3, 8, 8).contiguous(memory_format=layout)
    for network in (model, FastModel(model, channels_last=True)):
        grad = gradient(network, x, lambda logits, rows: logits[:, 0])[2]
        assert grad.stride() == x.stride()


class Seen(nn.Module):
    """Notes the layouts of what it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 36, 5))
        self.strides: set[tuple[int, ...]] = set()

    def forward(self, x: Tensor) -> Tensor:
        self.strides.add(x.stride()[1:])
        logits: Tensor = self.layers(x)
        return logits


@pytest.mark.parametrize("attack", ["apgd_ce", "apgd_t", "fab_t", "square"])
@pytest.mark.parametrize("channels_last", [False, True])
def test_results_are_in_the_layout_of_the_images(attack: str, channels_last: bool) -> None:
    torch.manual_seed(0)
    model, x = Seen().eval(), torch.rand(8, 3, 8, 8)
    y = model(x).argmax(1)
    own = AutoAttack(eps=0.1, version="custom", attacks=(attack,), order="example")
    fast = FastModel(model, channels_last=channels_last)
    assert own(fast, x, y).stride() == x.stride()
    plain = own.run(model, x, y)
    assert torch.equal(own.run(fast, x, y).flags, plain.flags)
    assert ((1, 24, 3) in model.strides) == channels_last


def test_points_that_were_found() -> None:
    found, broken = torch.zeros(5, 1, 2, 2), torch.tensor([False, False, True, False, False])
    rows, points = torch.tensor([0, 1, 4]), torch.arange(1.0, 4.0).view(3, 1, 1, 1).expand(3, 1, 2, 2)
    note_found(found, broken, rows, torch.tensor([True, False, True]), points)
    assert found[:, 0, 0, 0].tolist() == [1, 0, 0, 0, 3]
    assert broken.tolist() == [True, False, True, False, True]
