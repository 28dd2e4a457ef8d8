"""Tiny-ImageNet in its canonical form: the folder tiny-imagenet-200 or its .zip."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import torch

from advrush.data.dataset import Split
from advrush.data.raw import Raw, Reader, decode, split_of
from advrush.errors import DataError

FOLDER = "tiny-imagenet-200"


def find(name: str, data_dir: Path) -> tuple[Reader, list[Path]] | None:
    """Return a reader of the folder or the .zip below `data_dir`, or None."""
    for root in (data_dir, data_dir / FOLDER):
        if (root / "wnids.txt").is_file():
            return lambda: _from_folder(root), [root / "wnids.txt", root / "val" / "val_annotations.txt", root / "train"]
    archive = data_dir if data_dir.suffix == ".zip" else data_dir / f"{FOLDER}.zip"
    return (lambda: _from_zip(archive), [archive]) if archive.is_file() else None


def _from_folder(root: Path) -> Raw:
    files = sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
    return _read(str(root), files, lambda name: (root / name).read_bytes())


def _from_zip(archive: Path) -> Raw:
    try:
        with zipfile.ZipFile(archive) as content:
            inside = {name.partition(f"{FOLDER}/")[2] or name: name for name in content.namelist()}
            return _read(str(archive), sorted(inside), lambda name: content.read(inside[name]))
    except (zipfile.BadZipFile, EOFError, OSError) as error:
        raise DataError(f"{archive}: truncated or not a zip archive ({error})") from None


def _read(where: str, files: list[str], read: Callable[[str], bytes]) -> Raw:
    for name in ("wnids.txt", "val/val_annotations.txt"):
        if name not in files:
            raise DataError(f"{where}: has no {name}; not the canonical Tiny-ImageNet")
    classes = read("wnids.txt").decode().split()
    index = {wnid: label for label, wnid in enumerate(classes)}
    train = [name for name in files if name.startswith("train/") and name.endswith(".JPEG")]
    labels = [index.get(name.split("/")[1], -1) for name in train]
    rows = [line.split("\t") for line in read("val/val_annotations.txt").decode().splitlines() if line]
    held = [(f"val/images/{row[0]}", index.get(row[1], -1)) for row in rows]
    missing = [name for name, _ in held if name not in set(files)] if held else []
    if missing:
        raise DataError(f"{where}: {missing[0]} is not there ({len(missing)} validation images are missing)")

    def split(names: list[str], labels: list[int]) -> Split:
        if not names:
            raise DataError(f"{where}: has no images; not the canonical Tiny-ImageNet")
        return split_of(decode([read(name) for name in names], names), labels, where)

    validation, test = halve(split([name for name, _ in held], [label for _, label in held]))
    return Raw(split(train, labels), test, tuple(classes), validation)


def halve(split: Split) -> tuple[Split, Split]:
    """Split the public validation set into validation and test (Table A4): each class's images in turn."""
    order = torch.argsort(split.labels, stable=True)
    return split.subset(order[0::2].sort().values), split.subset(order[1::2].sort().values)
