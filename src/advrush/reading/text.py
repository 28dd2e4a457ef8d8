"""JSON, TOML and lines of JSON that others may have written. No torch in here."""

from __future__ import annotations

import contextlib
import json
import os
import stat
import tomllib
from pathlib import Path
from typing import Any

from advrush.errors import AdvrushError, RunError, kind_of
from advrush.reading.gate import reading, shown

LARGEST_TEXT = 2**26
"""Bytes of a text file that are read at most: metrics of 100,000 epochs have fewer."""
LARGEST_TOML = 2**20
"""Bytes of a configuration: the parser's time grows with the square of a hostile one."""


def read_bytes(path: Path, what: str, error: type[AdvrushError] = RunError, *, largest: int = LARGEST_TEXT) -> bytes:
    """Return a file's content. Raises `error` where it is no plain file, larger than `largest` bytes or unreadable."""
    with reading(path, what, error):
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with open(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):  # a pipe or a device would be read without end
                raise error(f"{path}: a folder, pipe or device; expected {what}")
            content = file.read(largest + 1)
    if len(content) > largest:
        raise error(f"{path}: larger than {largest} bytes; expected {what}")
    return content


def parse_json(text: str | bytes, where: Path | str, error: type[AdvrushError] = RunError) -> Any:
    """Return the value of a JSON text. Raises `error` naming `where` for anything else, however nested or long."""
    with reading(where, "JSON in UTF-8", error):
        return json.loads(text.decode("utf-8") if isinstance(text, bytes) else text)


def parse_toml(text: str | bytes, where: Path | str, error: type[AdvrushError] = RunError) -> dict[str, Any]:
    """Return the table of a TOML text. Raises `error` naming `where` for anything else, however nested or long."""
    with reading(where, "valid TOML in UTF-8", error):
        return tomllib.loads(text.decode("utf-8") if isinstance(text, bytes) else text)


def read_json(path: Path, error: type[AdvrushError] = RunError) -> Any:
    """Return the value of a JSON file. Raises `error`, naming it, where it is absent, too large or damaged."""
    return parse_json(read_bytes(path, "a JSON file", error), path, error)


def read_object(path: Path, error: type[AdvrushError] = RunError) -> dict[str, Any]:
    """Return the object of a JSON file. Raises `error` where it is absent, damaged, or another JSON value."""
    return as_object(read_json(path, error), path, error)


def read_toml(path: Path, error: type[AdvrushError] = RunError) -> dict[str, Any]:
    """Return the table of a TOML file. Raises `error`, naming it, where it is absent, too large or damaged."""
    return parse_toml(read_bytes(path, "a TOML file", error, largest=LARGEST_TOML), path, error)


def read_rows(path: Path, error: type[AdvrushError] = RunError) -> list[dict[str, Any]]:
    """Return the objects of a file with one JSON object a line, an empty list where it is absent.

    A last line without its end, cut by a kill, is left out. Raises `error`, naming file and line, for anything else.
    """
    if not path.exists():
        return []
    *lines, cut = read_bytes(path, "lines of JSON", error).split(b"\n")
    rows = []
    for number, line in enumerate(lines, 1):
        where = f"{path}: line {number}"
        rows.append(as_object(parse_json(line, where, error), where, error))
    if cut:
        with contextlib.suppress(error):
            rows.append(as_object(parse_json(cut, path, error), path, error))
    return rows


def printable(value: Any) -> Any:
    """Return a JSON or TOML value with marks that steer a terminal, and lone surrogates, replaced in all its texts."""
    if isinstance(value, str):
        kept = (c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in value)
        return value if value.isprintable() else "".join(kept)
    if isinstance(value, dict):
        return {printable(key): printable(item) for key, item in value.items()}
    return [printable(item) for item in value] if isinstance(value, list) else value


def as_object(value: Any, where: Path | str, error: type[AdvrushError] = RunError) -> dict[str, Any]:
    """Return a JSON value that is an object; raise `error` naming `where` for any other."""
    if not isinstance(value, dict):
        raise error(f"{where}: got {kind_of(value)} ({shown(value)}); expected a JSON object")
    return value
