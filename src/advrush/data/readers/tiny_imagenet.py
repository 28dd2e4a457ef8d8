"""Tiny-ImageNet in its canonical form: the folder tiny-imagenet-200 or its .zip."""

from __future__ import annotations

import codecs
import os
import zipfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from advrush.data.dataset import Split
from advrush.data.images import decode
from advrush.data.known import Known
from advrush.data.raw import Raw, Source, halve, split_of
from advrush.errors import DataError
from advrush.reading.bounds import check_size
from advrush.reading.gate import reading, reason
from advrush.reading.text import read_bytes

FOLDER = "tiny-imagenet-200"
ANNOTATIONS = "val/val_annotations.txt"
LARGEST_MEMBER = 2**24
"""Bytes of a file in the archive; the largest of the published one is a list of 2.6 MB."""
ENCODINGS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


def find(name: str, data_dir: Path, counts: Known | None) -> Source | None:
    """Return the folder or the .zip in `data_dir` (or `data_dir` itself), or None."""
    for root in (data_dir, data_dir / FOLDER):
        if (root / "wnids.txt").is_file():
            names = _walk(root)
            files = tuple(root / file for file in names)
            return Source("the Tiny-ImageNet folder", str(root), files, partial(_from_folder, root, names))
    archive = data_dir if data_dir.suffix == ".zip" else data_dir / f"{FOLDER}.zip"
    if not archive.is_file():
        return None
    return Source("the Tiny-ImageNet zip", str(archive), (archive,), partial(_from_zip, archive))


def _walk(root: Path) -> list[str]:
    """Return the files that are read, as names relative to the root (the unlabeled test images are not)."""
    found = [name for name in ("wnids.txt", ANNOTATIONS) if (root / name).is_file()]
    for below in ("train", "val"):
        for folder, _, files in os.walk(root / below):
            relative = Path(folder).relative_to(root).as_posix()
            found += [f"{relative}/{file}" for file in files if _is_image(file)]
    return sorted(found)


def _is_image(name: str) -> bool:
    """Return whether a file is an image of the set, not the shadow (`._x.JPEG`) that macOS puts beside one."""
    return name.endswith(".JPEG") and not name.rpartition("/")[2].startswith(".")


def _from_folder(root: Path, names: Sequence[str]) -> Raw:
    return _read(str(root), names, lambda name: read_bytes(root / name, "a file of the set", DataError))


def _from_zip(archive: Path) -> Raw:
    try:
        with zipfile.ZipFile(archive) as content:
            inside = {name.removeprefix(f"{FOLDER}/"): name for name in content.namelist()}

            def read(name: str) -> bytes:
                check_size(f"{archive}: {name}", content.getinfo(inside[name]).file_size, LARGEST_MEMBER)
                return content.read(inside[name])

            return _read(str(archive), sorted(inside), read)
    except DataError:
        raise
    except Exception as error:  # damaged bytes can fail in any way
        raise DataError(f"{archive}: truncated or not a plain zip archive ({reason(error)})") from None


def _text(content: bytes, where: str, name: str) -> str:
    """Return a list's text: UTF-8, or UTF-8 and UTF-16 with the byte order mark that Windows writes."""
    encoding = next((name for mark, name in ENCODINGS.items() if content.startswith(mark)), "utf-8")
    with reading(f"{where}: {name}", "a text in UTF-8 or UTF-16", DataError):
        return content.decode(encoding)


def _read(where: str, names: Sequence[str], read: Callable[[str], bytes]) -> Raw:
    there = set(names)
    for name in ("wnids.txt", ANNOTATIONS):
        if name not in there:
            raise DataError(f"{where}: has no {name}; expected the layout of {FOLDER}")
    # alphabetical, as class folders are numbered: the archive's list has an order of its own
    classes = tuple(sorted(_text(read("wnids.txt"), where, "wnids.txt").split()))
    index = {wnid: label for label, wnid in enumerate(classes)}
    train = [name for name in names if name.startswith("train/") and _is_image(name)]
    rows = [line.split("\t") for line in _text(read(ANNOTATIONS), where, ANNOTATIONS).splitlines() if line.strip()]
    held = [f"val/images/{row[0]}" for row in rows]
    missing = [name for name in held if name not in there]
    if missing:
        raise DataError(f"{where}: {missing[0]} is not there; expected all {len(held)} images of {ANNOTATIONS}")

    def split(files: list[str], wnids: list[str]) -> Split:
        for wnid in wnids:
            if wnid not in index:
                raise DataError(f"{where}: class {wnid} is not in wnids.txt, which names {len(classes)}")
        pixels = decode(len(files), lambda i: read(files[i]), lambda i: f"{where}: {files[i]}")
        return split_of(pixels, [index[wnid] for wnid in wnids], where)

    if not train or not held:
        raise DataError(f"{where}: {len(train)} training and {len(held)} validation images; expected some of both")
    validation, test = halve(split(held, [row[1] if len(row) > 1 else "" for row in rows]))
    return Raw(split(train, [name.split("/")[1] for name in train]), test, classes, validation)
