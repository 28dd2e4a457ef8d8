"""The hub: asked only where the user says so, decoded like any other source (its answers are made here)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from advrush.data import load_dataset
from advrush.errors import DataError
from data_files import TINY, names_of, pixels_of, png

datasets = pytest.importorskip("datasets", reason="needs the library datasets (extra hf)")


def _tables(name: str, image: str, label: str) -> Any:
    known = TINY[name]
    features = datasets.Features({image: datasets.Image(), label: datasets.ClassLabel(names=names_of(known))})
    parts = {}
    for part, pixels in zip(("train", "valid" if known.validation else "test"), pixels_of(known), strict=True):
        cells = [{"bytes": png(x), "path": None} for x in pixels.x]
        parts[part] = datasets.Dataset.from_dict({image: cells, label: pixels.y.tolist()}, features=features)
    return datasets.DatasetDict(parts)


@pytest.mark.parametrize(
    ("name", "image", "label", "asked"),
    [
        ("cifar10", "img", "label", ("uoft-cs/cifar10", None)),
        ("cifar100", "img", "fine_label", ("uoft-cs/cifar100", None)),
        ("svhn", "image", "label", ("ufldl-stanford/svhn", "cropped_digits")),
        ("tiny_imagenet", "image", "label", ("zh-plus/tiny-imagenet", None)),
    ],
)
def test_what_the_hub_gives_is_read(
    name: str, image: str, label: str, asked: tuple[str, str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    tables = _tables(name, image, label)
    monkeypatch.setattr(datasets, "load_dataset", lambda *args: calls.append(args) or tables)
    dataset = load_dataset(name, data_dir="hub", known=TINY[name])
    train, held = pixels_of(TINY[name])
    assert calls == [asked]
    assert torch.equal(dataset.train.images, torch.from_numpy(train.x).permute(0, 3, 1, 2))
    assert torch.equal(dataset.train.labels, torch.from_numpy(train.y))
    expected = held.y[4:] if dataset.validation is not None else held.y
    assert dataset.test.labels.tolist() == expected.tolist() and dataset.classes == tuple(names_of(TINY[name]))


def test_the_second_time_it_comes_from_our_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _tables("cifar10", "img", "label").save_to_disk(tmp_path)
    tables = datasets.load_from_disk(tmp_path)  # backed by files, as a download is
    monkeypatch.setattr(datasets, "load_dataset", lambda *args: tables)
    first = load_dataset("cifar10", data_dir=Path("hub"), known=TINY["cifar10"])
    monkeypatch.setattr("advrush.data.readers.hub.decode", None)  # would fail if anything were decoded
    assert load_dataset("cifar10", data_dir=Path("hub"), known=TINY["cifar10"]).checksum == first.checksum


def test_a_failure_says_what_else_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object) -> None:
        raise ConnectionError("no route")

    monkeypatch.setattr(datasets, "load_dataset", fail)
    with pytest.raises(DataError, match=r"cannot be had from the hub \(ConnectionError: no route\).*cifar-10-python"):
        load_dataset("cifar10", data_dir="hub")


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DataError, match=r"pip install 'advrush\[hf\]'"):
        load_dataset("cifar10", data_dir="hub")


def test_it_is_asked_for_known_names_only() -> None:
    with pytest.raises(DataError, match="own: not a known name; the hub is asked for cifar10, "):
        load_dataset("own", data_dir="hub")


def test_nothing_of_the_extra_is_imported_unasked() -> None:
    code = "import sys, advrush.data; print({'datasets', 'pyarrow', 'torchvision', 'matplotlib'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"
