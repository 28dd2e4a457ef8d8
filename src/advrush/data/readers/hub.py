"""The Hugging Face hub, through `datasets`: only where the user asks for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from advrush.data.dataset import Split
from advrush.data.images import decode
from advrush.data.known import Known
from advrush.data.raw import Raw, Source, halve, split_of
from advrush.data.readers.parquet import IMAGES, LABELS, encoded_images
from advrush.errors import DataError


def find(known: Known) -> Source:
    """Download a data set of the hub (or take the library's own copy) and return it as a source."""
    try:
        import datasets
    except ImportError:
        raise DataError(f"{known.name}: the hub needs the library datasets: pip install 'advrush[hf]'") from None
    try:
        tables = datasets.load_dataset(known.hub, known.hub_configuration)
    except Exception as error:  # no network, no such repository, offline mode, a full disk
        reason = f"{type(error).__name__}: {error}"
        raise DataError(f"{known.hub}: cannot be had from the hub ({reason}). Else: {known.how}") from None
    files = tuple(Path(file["filename"]) for table in tables.values() for file in table.cache_files)
    return Source("the hub", known.hub, files, lambda: _read(known, tables))


def _read(known: Known, tables: Any) -> Raw:
    last = "valid" if known.validation else "test"
    for part in ("train", last):
        if part not in tables:
            raise DataError(f"{known.hub}: has the splits {', '.join(tables)}; expected train and {last}")
    train, names = _split(tables["train"], f"{known.hub} train")
    other = _split(tables[last], f"{known.hub} {last}")[0]
    if known.validation:
        validation, test = halve(other)
        return Raw(train, test, names, validation)
    return Raw(train, other, names)


def _split(table: Any, where: str) -> tuple[Split, tuple[str, ...]]:
    image = next((name for name in IMAGES if name in table.column_names), None)
    label = next((name for name in LABELS if name in table.column_names), None)
    if image is None or label is None:
        raise DataError(f"{where}: has columns {', '.join(table.column_names)}; expected an image and a label")
    names = tuple(table.features[label].names)
    rows = table.with_format("arrow")[:]  # the image files as they are, decoded below by our own threads
    encoded = encoded_images(rows, image, where)
    pixels = decode(len(encoded), encoded.__getitem__, lambda i: f"{where}: row {i}")
    return split_of(pixels, rows[label].to_pylist(), where), names
