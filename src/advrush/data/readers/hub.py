"""The Hugging Face hub, through `datasets`: only where the user asks for it."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from advrush.data.dataset import Split
from advrush.data.known import Known
from advrush.data.raw import Raw, split_of
from advrush.data.readers.parquet import IMAGES, LABELS
from advrush.data.readers.tiny_imagenet import halve
from advrush.errors import DataError

CONFIGURATIONS = {"svhn": "cropped_digits"}


def read(known: Known) -> Raw:
    """Download (or take from the library's cache) and decode a data set of the hub."""
    try:
        import datasets
    except ImportError:
        raise DataError(f"{known.name}: reading from the hub needs the library datasets; install advrush[hf]") from None
    try:
        found = datasets.load_dataset(known.hub, CONFIGURATIONS.get(known.name))
    except Exception as error:
        offline = " (offline mode is on)" if os.environ.get("HF_HUB_OFFLINE") else ""
        raise DataError(f"{known.hub}: cannot be had from the hub{offline}: {error}") from None
    train, names = _split(found["train"], f"{known.hub} train")
    if known.validation:
        validation, test = halve(_split(found["valid"], f"{known.hub} valid")[0])
        return Raw(train, test, names, validation)
    return Raw(train, _split(found["test"], f"{known.hub} test")[0], names)


def _split(table: Any, where: str) -> tuple[Split, tuple[str, ...]]:
    image = next(name for name in IMAGES if name in table.column_names)
    label = next(name for name in LABELS[::-1] if name in table.column_names)
    images = np.stack([np.asarray(picture.convert("RGB")) for picture in table[image]])
    return split_of(images, np.asarray(table[label]), where), tuple(table.features[label].names)
