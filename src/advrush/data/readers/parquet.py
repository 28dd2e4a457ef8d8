"""A local folder of parquet files in the layout of the Hugging Face hub."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from advrush.data.dataset import Split
from advrush.data.images import decode
from advrush.data.known import KNOWN, Known
from advrush.data.raw import Raw, Source, class_names, halve, split_of
from advrush.errors import DataError
from advrush.reading.bounds import LARGEST_SET, check_size
from advrush.reading.gate import reason

IMAGES, LABELS = ("img", "image"), ("label", "fine_label", "labels")
MOST_ROWS = 2**26
PIECE = 1024
"""Rows that are unpacked at a time."""
FOLDERS = ("", "data", "plain_text", "cropped_digits", "cifar100")
"""Where the repositories of the hub keep them."""


def find(name: str, data_dir: Path, counts: Known | None) -> Source | None:
    """Return train*.parquet with test*.parquet (or val*.parquet) in `data_dir` or where the hub keeps them."""
    if not data_dir.is_dir():
        return None
    for root in (data_dir / folder for folder in FOLDERS):
        train, test, held = (sorted(root.glob(f"{part}*.parquet")) for part in ("train", "test", "val"))
        if train or test:
            return _source(name, root, train, test, held)
    return None


def _source(name: str, root: Path, train: list[Path], test: list[Path], held: list[Path]) -> Source:
    halved = name in KNOWN and KNOWN[name].validation > 0  # the hub's public validation set is no test set yet

    def read() -> Raw:
        if not train or not (test or held):
            raise DataError(f"{root}: has {(train or test)[0].name}; expected train-*.parquet and test-*.parquet, both")
        training, names = _split(train)
        classes = class_names(training.labels.tolist(), names)
        if halved and held:
            validation, testing = halve(_split(held)[0])
            return Raw(training, testing, classes, validation)
        if not test:
            return Raw(training, _split(held)[0], classes)
        return Raw(training, _split(test)[0], classes, _split(held)[0] if held else None)

    return Source("parquet files", str(root), (*train, *test, *held), read)


def _split(paths: Sequence[Path]) -> tuple[Split, list[str] | None]:
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError:
        raise DataError(f"{paths[0]}: reading parquet needs pyarrow: pip install 'advrush[hf]'") from None
    _check_shards(paths)
    tables = []
    for path in paths:
        try:
            tables.append((path, _table(path)))
        except DataError:
            raise
        except Exception as error:  # damaged bytes can fail in any way
            raise DataError(f"{path}: truncated or not a parquet file ({reason(error)})") from None
    encoded = [
        item
        for path, table in tables
        for item in encoded_images(table, _column(table.column_names, IMAGES, path), path)
    ]
    label = _column(tables[0][1].column_names, LABELS, paths[0])
    labels = [value for path, table in tables for value in table[_column(table.column_names, LABELS, path)].to_pylist()]
    places = [(path, row) for path, table in tables for row in range(table.num_rows)]
    pixels = decode(len(encoded), encoded.__getitem__, lambda i: f"{places[i][0]}: row {places[i][1]}")
    return split_of(pixels, labels, str(paths[0])), _names(tables[0][1], label)


def _table(path: Path) -> Any:
    """Return the columns of images and labels, read in pieces so that no more than the bound is ever unpacked."""
    import pyarrow
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(path) as file:
        about = file.metadata
        claimed = sum(about.row_group(group).total_byte_size for group in range(about.num_row_groups))
        check_size(path, claimed, LARGEST_SET)
        check_size(path, about.num_rows, MOST_ROWS, "rows")
        columns = [_column(file.schema_arrow.names, options, path) for options in (IMAGES, LABELS)]
        pieces, left = [], LARGEST_SET
        for piece in file.iter_batches(batch_size=PIECE, columns=columns):
            left -= piece.nbytes
            check_size(path, LARGEST_SET - left, LARGEST_SET)
            pieces.append(piece)
        schema = pyarrow.schema([file.schema_arrow.field(name) for name in columns], file.schema_arrow.metadata)
        return pyarrow.Table.from_batches(pieces, schema)


def _check_shards(paths: Sequence[Path]) -> None:
    """Refuse a folder in which a part of `train-00000-of-00003.parquet` is missing."""
    for path in paths:
        found = re.search(r"-of-(\d+)", path.stem)
        if found and int(found[1]) != len(paths):
            raise DataError(f"{path}: {len(paths)} of its {int(found[1])} parts are there; expected all")


def encoded_images(table: Any, column: str, where: Path | str) -> list[bytes]:
    """Return the encoded images of an Arrow table's column of structs {bytes, path}."""
    encoded = []
    for row, cell in enumerate(table[column].to_pylist()):
        content = cell.get("bytes") if isinstance(cell, dict) else cell
        if not isinstance(content, bytes):
            raise DataError(f"{where}: row {row} of column {column} holds no image bytes; expected {{bytes, path}}")
        encoded.append(content)
    return encoded


def _column(names: Sequence[str], options: tuple[str, ...], path: Path) -> str:
    for name in options:
        if name in names:
            return name
    raise DataError(f"{path}: has columns {', '.join(names[:20])}; expected one of {', '.join(options)}")


def _names(table: Any, label: str) -> list[str] | None:
    """Return the class names that the hub keeps in the schema's metadata."""
    try:
        features = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
        return [str(name) for name in features[label]["names"]]
    except (KeyError, TypeError, ValueError, RecursionError):
        return None
