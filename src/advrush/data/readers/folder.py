"""One's own images: a folder for each class, perhaps below train/ and test/."""

from __future__ import annotations

from pathlib import Path

import torch

from advrush.data.dataset import Split
from advrush.data.raw import Raw, Reader, decode, split_of
from advrush.errors import DataError

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp")
HELD_OUT = 5
"""Without a test folder every fifth image of each class is a test image."""


def find(data_dir: Path) -> tuple[Reader, list[Path]] | None:
    """Return a reader of train/CLASS/* and test/CLASS/* (or val/), or of CLASS/*, or None."""
    train = data_dir / "train"
    test = next((data_dir / name for name in ("test", "val") if (data_dir / name).is_dir()), None)
    if train.is_dir() and test is not None:
        if _classes(train):
            return lambda: _both(train, test), _files(train) + _files(test)
    elif data_dir.is_dir() and len(_classes(data_dir)) >= 2:
        return lambda: _split(data_dir), _files(data_dir)
    return None


def _classes(root: Path) -> list[str]:
    """Return the names of the folders that hold images, in order."""
    return sorted(path.name for path in root.iterdir() if path.is_dir() and any(p.suffix.lower() in ENDINGS for p in path.iterdir()))


def _files(root: Path) -> list[Path]:
    return sorted(path for path in root.glob("*/*") if path.suffix.lower() in ENDINGS)


def _both(train: Path, test: Path) -> Raw:
    classes, others = _classes(train), _classes(test)
    if unknown := sorted(set(others) - set(classes)):
        raise DataError(f"{test}: class {unknown[0]} is not in {train} ({', '.join(classes)})")
    return Raw(_read(train, classes), _read(test, classes), tuple(classes))


def _split(root: Path) -> Raw:
    classes = _classes(root)
    everything = _read(root, classes)
    held = torch.zeros(len(everything), dtype=torch.bool)
    for label in range(len(classes)):
        held[(everything.labels == label).nonzero().flatten()[HELD_OUT - 1 :: HELD_OUT]] = True
    train, test = (~held).nonzero().flatten(), held.nonzero().flatten()
    return Raw(everything.subset(train), everything.subset(test), tuple(classes))


def _read(root: Path, classes: list[str]) -> Split:
    paths = [path for path in _files(root) if path.parent.name in classes]
    labels = [classes.index(path.parent.name) for path in paths]
    return split_of(decode([path.read_bytes() for path in paths], [str(path) for path in paths]), labels, str(root))
