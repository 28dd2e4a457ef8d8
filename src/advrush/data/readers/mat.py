"""Read MATLAB 5 files as SVHN uses them: numeric arrays, compressed or not.

A reader of our own: every length is checked against what is there, so that a damaged file is an error and cannot
reach past a buffer.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

HEADER = 128
MATRIX, PACKED = 14, 15
NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
"""NumPy's names of the types of stored numbers."""
NUMERIC = range(6, 16)
"""Classes of arrays of plain numbers: double to uint64."""
COMPLEX = 0x0800
LONGEST_HEAD = 4096
"""Bytes in front of an array's numbers: flags, sizes, name."""
Array = np.ndarray[Any, np.dtype[Any]]


@dataclass
class _Cursor:
    """Bytes of an element, perhaps still packed, read from the front."""

    order: str
    ready: bytes
    unpacker: Any = None

    def take(self, count: int) -> bytes:
        """Return the next `count` bytes; ValueError where there are fewer."""
        while self.unpacker is not None and len(self.ready) < count and not self.unpacker.eof:
            wanted = count - len(self.ready)
            more = self.unpacker.decompress(self.unpacker.unconsumed_tail, wanted)
            if not more:
                break
            self.ready += more
        if len(self.ready) < count:
            raise ValueError(f"{len(self.ready)} bytes where {count} are claimed: truncated")
        taken, self.ready = self.ready[:count], self.ready[count:]
        return taken

    def tag(self) -> tuple[int, int, bytes | None]:
        """Return type and length of the next part, and its bytes where the tag holds them."""
        first = self.take(8)
        kind, length = struct.unpack(f"{self.order}II", first)
        if kind >> 16:  # a small part: length and type share a word, the bytes follow in the tag
            kind, length = kind & 0xFFFF, kind >> 16
            if length > 4:
                raise ValueError(f"a small part of {length} bytes")
            return kind, length, first[4 : 4 + length]
        return kind, length, None

    def part(self, largest: int) -> tuple[int, bytes]:
        """Return type and bytes of the next part, which may have at most `largest` bytes."""
        kind, length, held = self.tag()
        if held is not None:
            return kind, held
        if length > largest:
            raise ValueError(f"a part of {length} bytes; expected at most {largest}")
        content = self.take(length)
        if length % 8 and (self.ready or self.unpacker is not None):
            self.take(8 - length % 8)
        return kind, content


def read_arrays(content: bytes, names: tuple[str, ...], largest: int) -> dict[str, Array]:
    """Return the numeric arrays of those names, in the type in which their numbers are stored.

    `largest` bounds the bytes of each array. Raises ValueError (or KeyError, struct.error, zlib.error) for bytes that
    are truncated, damaged, or no MATLAB 5 file.
    """
    found: dict[str, Array] = {}
    order = {b"IM": "<", b"MI": ">"}.get(content[HEADER - 2 : HEADER])
    if order is None:
        raise ValueError(f"{len(content)} bytes without the mark of MATLAB 5")
    for element in _elements(content, order):
        name, array = _array(element, names, largest)
        if array is not None:
            found[name] = array
        if len(found) == len(names):
            break
    return found


def _elements(content: bytes, order: str) -> Iterator[_Cursor]:
    """Yield a cursor for each matrix of a file, behind its tag."""
    place = HEADER
    while place + 8 <= len(content):
        kind, length = struct.unpack_from(f"{order}II", content, place)
        body = content[place + 8 : place + 8 + length]
        if len(body) < length:
            raise ValueError(f"{len(body)} bytes where {length} are claimed: truncated")
        place += 8 + length
        if kind == PACKED:
            unpacker = zlib.decompressobj()
            cursor = _Cursor(order, unpacker.decompress(body, 8), unpacker)
            kind = cursor.tag()[0]
        else:
            cursor = _Cursor(order, body)
        if kind == MATRIX:
            yield cursor


def _array(cursor: _Cursor, names: tuple[str, ...], largest: int) -> tuple[str, Array | None]:
    """Return name and numbers of a matrix, None in their place where it is not asked for or not numeric."""
    flags = struct.unpack(f"{cursor.order}II", cursor.part(8)[1])[0]
    sizes = np.frombuffer(cursor.part(LONGEST_HEAD)[1], f"{cursor.order}i4").tolist()
    name = cursor.part(LONGEST_HEAD)[1].decode("latin-1")
    if name not in names or flags & 0xFF not in NUMERIC or flags & COMPLEX:
        return name, None
    kind, length, held = cursor.tag()
    dtype = np.dtype(f"{cursor.order}{NUMBERS[kind]}")
    if min(sizes, default=0) < 0 or prod(sizes) * dtype.itemsize != length:
        raise ValueError(f"{name} of {sizes} has {length} bytes")
    if length > largest:
        raise ValueError(f"{name} has {length} bytes; expected at most {largest}")
    numbers = held if held is not None else cursor.take(length)
    if cursor.unpacker is not None:
        _check_end(cursor)
    return name, np.frombuffer(numbers, dtype).reshape(sizes, order="F")


def _check_end(cursor: _Cursor) -> None:
    """Raise ValueError unless the packed element ends here, and zlib has compared its checksum."""
    rest = cursor.unpacker.decompress(cursor.unpacker.unconsumed_tail, 64)
    if not cursor.unpacker.eof or len(cursor.ready) + len(rest) > 7:
        raise ValueError("a packed array that does not end where it claims: truncated or damaged")
