"""One's own images: a folder for each class, perhaps below train/ and test/."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from advrush.data.dataset import Split
from advrush.data.images import decode_files, same_squares
from advrush.data.known import Known
from advrush.data.raw import Raw, Source, hold_out, split_of
from advrush.errors import DataError

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".gif")
SYSTEM = ("__MACOSX", "@eaDir", "Thumbs.db", "desktop.ini", "lost+found")
"""Names that operating systems put beside images; so are all that begin with a dot."""
OTHER_IMAGES = (".heic", ".heif", ".avif", ".jp2", ".jxl", ".psd", ".svg", ".raw", ".nef", ".cr2", ".dng", ".ico")
"""Forms of images that are not read."""
Classes = dict[str, tuple[Path, ...]]


def find(name: str, data_dir: Path, counts: Known | None) -> Source | None:
    """Return train/CLASS/* with test/CLASS/* (and perhaps val/CLASS/*), or CLASS/* of `data_dir`, or None."""
    if not data_dir.is_dir():
        return None
    parts = {part: _classes(data_dir / part) for part in ("train", "test", "val")}
    if parts["train"]:
        files = _files(*parts.values())
        form = "folders of classes below train and test"
        return _source(form, data_dir, files, lambda side: _separate(data_dir, parts, side))
    everything = _classes(data_dir)
    if len(everything) < 2:
        return None
    files = _files(everything)
    return _source("folders of classes", data_dir, files, lambda side: _together(data_dir, everything, side))


def _source(form: str, place: Path, files: tuple[Path, ...], read: Callable[[int | None], Raw]) -> Source:
    """Return the source of image files; those that are no squares of one size can be made so."""
    plain = Source(form, str(place), files, lambda: read(None))

    def fit(side: int) -> Source:
        if same_squares(files):  # resized as tensors, as those of every other form
            return plain
        return Source(f"{form}, {side} pixels", str(place), files, lambda: read(side))

    return replace(plain, fit=fit)


def _classes(root: Path) -> Classes:
    """Return the images of each folder that has any, both in the order of their names.

    Hidden and system folders are left out. Raises DataError for a folder without images beside such with images, which
    would renumber the classes in silence, and for an image that is a folder, a broken link or of a form not read.
    """
    there = sorted(root.iterdir()) if root.is_dir() else []
    folders = [path for path in there if path.is_dir() and not _is_litter(path)]
    found = {folder.name: tuple(path for path in sorted(folder.iterdir()) if _is_image(path)) for folder in folders}
    empty = [name for name, files in found.items() if not files and name not in ("train", "test", "val")]
    if empty and any(found.values()):
        raise DataError(
            f"{root / empty[0]}: no images ({', '.join(ENDINGS)}) in it, beside classes that have some; remove the "
            "folder if it is no class"
        )
    return {name: files for name, files in found.items() if files}


def _is_litter(path: Path) -> bool:
    return path.name.startswith(".") or path.name in SYSTEM


def _is_image(path: Path) -> bool:
    """Return whether a path is an image file; DataError for what looks like one and cannot be read."""
    ending = path.suffix.lower()
    if _is_litter(path):
        return False
    if ending in OTHER_IMAGES:
        raise DataError(
            f"{path}: images of the form {ending} are not read; convert them to one of {', '.join(ENDINGS)}"
        )
    if ending in ENDINGS and not path.is_file():
        what = "a link to nothing" if path.is_symlink() else "a folder, not an image"
        raise DataError(f"{path}: {what}; remove or rename it")
    return ending in ENDINGS


def _files(*parts: Classes) -> tuple[Path, ...]:
    return tuple(path for part in parts for files in part.values() for path in files)


def _separate(root: Path, parts: dict[str, Classes], side: int | None) -> Raw:
    names = tuple(parts["train"])
    test, held = parts["test"] or parts["val"], parts["val"] if parts["test"] else {}
    if not test:
        raise DataError(f"{root}: has train but no images below test (or val); expected test/CLASS/*.png")
    for name in (*test, *held):
        if name not in names:
            raise DataError(f"{root}: class {name} is not below train; expected one of {', '.join(names)}")
    splits = [_read(part, names, root, side) for part in (parts["train"], test, held) if part]
    channels = max(split.images.shape[1] for split in splits)  # gray beside colored ones: three alike
    train, tested, *rest = (
        Split(split.images.expand(-1, channels, -1, -1).contiguous(), split.labels) for split in splits
    )
    return Raw(train, tested, names, rest[0] if rest else None)


def _together(root: Path, everything: Classes, side: int | None) -> Raw:
    names = tuple(everything)
    train, test = hold_out(_read(everything, names, root, side))
    return Raw(train, test, names)


def _read(part: Classes, names: tuple[str, ...], root: Path, side: int | None) -> Split:
    labels = [names.index(name) for name, files in part.items() for _ in files]
    images = decode_files(_files(part), side)
    height, width = images.shape[1:3]
    if height != width:
        raise DataError(
            f"{root}: images of {width}x{height} pixels; expected square ones: give data.image_size "
            "(--data.image-size 32) to resize and crop them"
        )
    return split_of(images, labels, str(root))
