"""Bounds on what is read, checked before the memory is taken: what a header claims, and what is unpacked."""

from __future__ import annotations

from pathlib import Path
from typing import IO

from advrush.errors import DataError

LARGEST_SET = 2**34
"""Bytes of pixels and labels that a data set of one's own may have: 16 GiB, and it is held in memory as a whole."""
LARGEST_IMAGE = 2**26
"""Pixels of one encoded image: 8192 x 8192."""
LARGEST_FILE = 2**28
"""Bytes of one encoded image, and of all that an archive of CIFAR holds (the published ones have 186 MB)."""


def check_size(where: Path | str, claimed: int, largest: int, what: str = "bytes") -> None:
    """Raise DataError, naming `where`, for a claim of more than `largest` bytes, or of fewer than none."""
    if not 0 <= claimed <= largest:
        raise DataError(f"{where}: claims {claimed} {what}; expected at most {largest}: damaged, or made to expand")


class Bounded:
    """A stream that gives at most `largest` bytes of another one, then raises DataError naming `where`."""

    def __init__(self, stream: IO[bytes], largest: int, where: Path | str) -> None:
        self.stream, self.largest, self.where = stream, largest, where
        self.left = largest

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes, all that are left unless it is given."""
        content = self.stream.read(self.left + 1 if size < 0 else min(size, self.left + 1))
        self.left -= len(content)
        if self.left < 0:
            raise DataError(f"{self.where}: unpacks to more than {self.largest} bytes: damaged, or made to expand")
        return content
