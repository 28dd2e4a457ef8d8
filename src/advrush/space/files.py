"""Reading genotypes from text files of any common encoding."""

from __future__ import annotations

import codecs
from collections.abc import Callable
from pathlib import Path

from advrush.errors import GenotypeError

LARGEST = 2**20
"""Bytes that are read at most: a log with a genotype in it has fewer."""
LONGEST_PATH = 1024
ENCODINGS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


def path_of(text: str) -> Path | None:
    """Return `text` as a path, or None where it is too long for one or is itself a genotype's text."""
    own = any(mark in text for mark in ("Genotype(", "{", "|", "\0", "\n"))
    return None if own or len(text) >= LONGEST_PATH else Path(text)


def place_of(text: str, is_name: Callable[[str], bool]) -> Path | None:
    """Return `text` as a path, None where it is none, or the name of an architecture (`is_name` tells).

    A name is the architecture, also where a file or folder is called so, unless the folder is a run.
    """
    path = path_of(text)
    return None if path is None or (is_name(text) and not (path / "config.toml").is_file()) else path


def read_text(path: Path) -> str:
    """Return the text of a file in UTF-8, or in UTF-8 or UTF-16 with a byte order mark, as Windows shells write it.

    Raises GenotypeError, naming the file, where it cannot be read, is no text, or is larger than a megabyte.
    """
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise GenotypeError(f"{path}: cannot be read ({error.strerror or error})") from None
    if len(content) > LARGEST:
        raise GenotypeError(f"{path}: larger than {LARGEST} bytes; expected a genotype, or a log with one in it")
    encoding = next((name for mark, name in ENCODINGS.items() if content.startswith(mark)), "utf-8")
    try:
        return content.decode(encoding)
    except UnicodeDecodeError:
        raise GenotypeError(f"{path}: not a text in UTF-8 or UTF-16") from None
