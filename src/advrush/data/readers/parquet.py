"""A local folder of parquet files in the layout of the Hugging Face hub."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from advrush.data.dataset import Split
from advrush.data.raw import Raw, Reader, class_names, decode, split_of
from advrush.errors import DataError

IMAGES, LABELS = ("img", "image"), ("label", "fine_label", "labels")


def find(data_dir: Path) -> tuple[Reader, list[Path]] | None:
    """Return a reader of train-*.parquet and test-*.parquet (or valid*-*) in `data_dir` or its folder data, or None."""
    for root in (data_dir, data_dir / "data"):
        train = sorted(root.glob("train*.parquet"))
        test = sorted(root.glob("test*.parquet")) or sorted(root.glob("val*.parquet"))
        if train and not test:
            raise DataError(f"{root}: has train parquet files but no test-*.parquet")
        if train:
            return lambda: _read(train, test), [*train, *test]
    return None


def _read(train: list[Path], test: list[Path]) -> Raw:
    parts = [_split(train), _split(test)]
    names = parts[0][1]
    return Raw(parts[0][0], parts[1][0], class_names(parts[0][0].labels.tolist(), names))


def _split(paths: list[Path]) -> tuple[Split, list[str] | None]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise DataError(f"{paths[0]}: reading parquet needs pyarrow; install advrush[hf]") from None
    encoded: list[bytes] = []
    labels: list[int] = []
    names: list[str] | None = None
    for path in paths:
        try:
            table = pyarrow.parquet.read_table(path)
        except (OSError, pyarrow.ArrowException) as error:
            raise DataError(f"{path}: truncated or not a parquet file ({error})") from None
        image, label = _column(table, IMAGES, path), _column(table, LABELS, path)
        for cell in table[image].to_pylist():
            content = cell.get("bytes") if isinstance(cell, dict) else cell
            if not isinstance(content, bytes):
                raise DataError(f"{path}: column {image} holds no image bytes")
            encoded.append(content)
        labels += table[label].to_pylist()
        names = _names(table, label) or names
    places = [f"{paths[0].parent}: image {i} of {paths[0].name}" for i in range(len(encoded))]
    return split_of(decode(encoded, places), labels, str(paths[0])), names


def _column(table: Any, options: tuple[str, ...], path: Path) -> str:
    for name in options:
        if name in table.column_names:
            return name
    raise DataError(f"{path}: columns {', '.join(table.column_names)}; expected one of {', '.join(options)}")


def _names(table: Any, label: str) -> list[str] | None:
    """Return the class names that the hub keeps in the schema's metadata."""
    try:
        features = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
        return list(features[label]["names"])
    except (KeyError, TypeError, ValueError):
        return None
