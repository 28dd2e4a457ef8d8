"""One's own images: a folder for each class, perhaps below train/ and test/."""

from __future__ import annotations

from pathlib import Path

from advrush.data.dataset import Split
from advrush.data.images import decode_files
from advrush.data.known import Known
from advrush.data.raw import Raw, Source, hold_out, split_of
from advrush.errors import DataError

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp")
Classes = dict[str, tuple[Path, ...]]


def find(name: str, data_dir: Path, counts: Known | None) -> Source | None:
    """Return train/CLASS/* with test/CLASS/* (and perhaps val/CLASS/*), or CLASS/* of `data_dir`, or None."""
    if not data_dir.is_dir():
        return None
    parts = {part: _classes(data_dir / part) for part in ("train", "test", "val")}
    if parts["train"]:
        files = _files(*parts.values())
        form = "folders of classes below train and test"
        return Source(form, str(data_dir), files, lambda: _separate(data_dir, parts))
    everything = _classes(data_dir)
    if len(everything) < 2:
        return None
    return Source("folders of classes", str(data_dir), _files(everything), lambda: _together(data_dir, everything))


def _classes(root: Path) -> Classes:
    """Return the images of each folder that has any, both in the order of their names."""
    folders = sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    found = {
        folder.name: tuple(sorted(p for p in folder.iterdir() if p.suffix.lower() in ENDINGS)) for folder in folders
    }
    return {name: files for name, files in found.items() if files}


def _files(*parts: Classes) -> tuple[Path, ...]:
    return tuple(path for part in parts for files in part.values() for path in files)


def _separate(root: Path, parts: dict[str, Classes]) -> Raw:
    names = tuple(parts["train"])
    test, held = parts["test"] or parts["val"], parts["val"] if parts["test"] else {}
    if not test:
        raise DataError(f"{root}: has train but no images below test (or val); expected test/CLASS/*.png")
    for name in (*test, *held):
        if name not in names:
            raise DataError(f"{root}: class {name} is not below train; expected one of {', '.join(names)}")
    validation = _read(held, names, root) if held else None
    return Raw(_read(parts["train"], names, root), _read(test, names, root), names, validation)


def _together(root: Path, everything: Classes) -> Raw:
    names = tuple(everything)
    train, test = hold_out(_read(everything, names, root))
    return Raw(train, test, names)


def _read(part: Classes, names: tuple[str, ...], root: Path) -> Split:
    labels = [names.index(name) for name, files in part.items() for _ in files]
    return split_of(decode_files(_files(part)), labels, str(root))
