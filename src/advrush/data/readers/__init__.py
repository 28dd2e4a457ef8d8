"""Finding what lies in a folder: the canonical archive first, then parquet, npz, class folders."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from advrush.data.raw import Reader
from advrush.data.readers import cifar, folder, npz, parquet, svhn, tiny_imagenet

CANONICAL = {"cifar10": cifar.find, "cifar100": cifar.find, "svhn": svhn.find, "tiny_imagenet": tiny_imagenet.find}


def find(name: str, data_dir: Path) -> tuple[Reader, list[Path]] | None:
    """Return a reader of the data set `name` in `data_dir` and the files it depends on, or None."""
    for look in (*([partial(CANONICAL[name], name)] if name in CANONICAL else []), parquet.find, npz.find, folder.find):
        found = look(data_dir)
        if found is not None:
            return found
    return None
