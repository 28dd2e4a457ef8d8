"""Detect the format of a folder: the canonical archive first, then parquet, npz, class folders."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from advrush.data.known import Known
from advrush.data.raw import Source
from advrush.data.readers import cifar, folder, hub, idx, npz, parquet, svhn, tiny_imagenet
from advrush.errors import DataError

__all__ = ["CANONICAL", "find", "hub"]

Find = Callable[[str, Path, Known | None], Source | None]

CANONICAL: Mapping[str, Find] = {
    "cifar10": cifar.find,
    "cifar100": cifar.find,
    "svhn": svhn.find,
    "tiny_imagenet": tiny_imagenet.find,
    "mnist": idx.find,
    "fashion_mnist": idx.find,
}


def find(name: str, data_dir: Path, counts: Known | None) -> Source | None:
    """Return the source of the data set `name` in `data_dir`, or None; nothing is decoded yet.

    `counts` holds the sizes that files must have (None: any). A canonical archive is taken before anything else
    beside it. Raises DataError where two of the other forms lie in one folder: which of them is meant?
    """
    canonical = CANONICAL.get(name)
    source = canonical(name, data_dir, counts) if canonical is not None else None
    if source is not None:
        return source
    others: tuple[Find, ...] = (parquet.find, npz.find, folder.find)
    found = [source for look in others if (source := look(name, data_dir, counts)) is not None]
    if len(found) > 1:
        forms = " and ".join(source.form for source in found)
        raise DataError(f"{data_dir}: holds {forms}; expected one form: move the other away")
    return found[0] if found else None
