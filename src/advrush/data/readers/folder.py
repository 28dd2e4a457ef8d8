"""One's own images: a folder for each class, perhaps below train/ and test/."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from advrush.data.dataset import Split
from advrush.data.images import decode_files, same_squares
from advrush.data.known import Known
from advrush.data.raw import Raw, Source, hold_out, split_of
from advrush.errors import DataError

ENDINGS = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".webp", ".tif", ".tiff", ".gif")
SYSTEM = (
    "__MACOSX", "@eaDir", "@Recycle", "#recycle", "#snapshot", "$RECYCLE.BIN", "System Volume Information", "Thumbs.db",
    "desktop.ini", "lost+found", "__pycache__",
)  # fmt: skip
"""Names that operating systems put beside images; so are all that begin with a dot."""
OTHER_IMAGES = (
    ".heic", ".heif", ".avif", ".jp2", ".jxl", ".psd", ".svg", ".raw", ".nef", ".cr2", ".dng", ".ico", ".ppm", ".pgm",
    ".pbm", ".pnm", ".tga", ".pcx", ".exr", ".hdr", ".dcm", ".dib", ".apng",
)  # fmt: skip
"""Forms of images that are not read."""
MAGIC = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\0", b"MM\0*", b"RIFF")
"""How the images that are read begin, whatever they are called."""
PARTS = ("train", "test", "val")
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
    would renumber the classes in silence, and for what would be dropped in silence: an image that is a folder, a broken
    link or of a form not read, images deeper in a class's folder or beside the classes.
    """
    there = sorted(root.iterdir()) if root.is_dir() else []
    there = [_named(path) for path in there if not _is_litter(path)]
    folders = [path for path in there if path.is_dir()]
    found: Classes = {}
    for folder in folders:
        name = unicodedata.normalize("NFC", folder.name)  # a Mac writes an accent as a letter of its own
        if name in found:
            raise DataError(f"{folder}: two classes of the same name; rename one of them")
        found[name] = tuple(path for path in sorted(folder.iterdir()) if _is_image(path))
    if any(found.values()):
        _check_rest(root, there, folders)
    empty = [name for name, files in found.items() if not files and name not in PARTS]
    if empty and any(found.values()):
        raise DataError(
            f"{root / empty[0]}: no images ({', '.join(ENDINGS)}) in it, beside classes that have some; remove the "
            "folder if it is no class"
        )
    return {name: files for name, files in found.items() if files}


def _check_rest(root: Path, there: list[Path], folders: list[Path]) -> None:
    """Raise DataError for images that lie beside the classes of train, test or val, or deeper than a class's folder."""
    for path in there if root.name in PARTS else ():
        if not path.is_dir() and _is_image(path):
            raise DataError(f"{path}: an image beside the folders of classes; move it into one, or away")
    for path in there:
        if path.is_symlink() and not path.exists():
            raise DataError(f"{path}: a link to nothing; remove it, or mend it if it is a class")
    for inner in (path for folder in folders if folder.name not in PARTS for path in folder.iterdir()):
        if inner.is_dir() and not _is_litter(inner) and any(map(_is_image, sorted(inner.iterdir()))):
            raise DataError(f"{inner}: images in a folder inside a class; move them into {inner.parent}, or away")


def _named(path: Path) -> Path:
    """Return the path; DataError for a name that is not in the encoding of this system's file names."""
    try:
        path.name.encode()
    except UnicodeEncodeError:
        raise DataError(f"{path!a}: a name that is not UTF-8; rename it") from None
    return path


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
        what = "a link to nothing" if path.is_symlink() else "a folder or pipe, not an image"
        raise DataError(f"{path}: {what}; remove or rename it")
    if ending not in ENDINGS and path.is_file() and _begins_as_image(path):
        raise DataError(f"{path}: an image whose name does not end in one of {', '.join(ENDINGS)}; rename it")
    return _named(path).suffix.lower() in ENDINGS


def _begins_as_image(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(12).startswith(MAGIC)
    except OSError:  # what cannot be read is not named like an image, and is left alone
        return False


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
