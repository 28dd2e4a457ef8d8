"""The header of safetensors files."""

from __future__ import annotations

import json


def with_ordered_metadata(file: bytes) -> bytes:
    """Return a safetensors file with its metadata in the order of their names: the library writes them in any order."""
    length = int.from_bytes(file[:8], "little")
    header = json.loads(file[8 : 8 + length])
    if len(header.get("__metadata__", ())) < 2:
        return file
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + file[8 + length :]
