"""Encoded image files to pixels: threads, one shape for all, a broken file named."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from advrush.errors import DataError

Pixels = np.ndarray[Any, np.dtype[np.uint8]]
EIGHT_BIT = frozenset({"1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr"})
CHUNK = 256
"""Images a task decodes: fewer make the queue cost more than the decoding of a 32-pixel image."""


def decode(count: int, read: Callable[[int], bytes], name: Callable[[int], str]) -> Pixels:
    """Decode `count` image files into uint8 (N, H, W, C), gray (C = 1) only if all are.

    `read(i)` gives the bytes of file i, `name(i)` what to call it. Raises DataError naming a broken file, one of
    another size than the first, or one with more than 8 bits a channel.
    """
    if count == 0:
        return np.empty((0, 1, 1, 1), np.uint8)
    height, width = _one(read(0), name(0)).shape[:2]
    result = np.empty((count, height, width, 3), np.uint8)  # each thread fills its rows: no second copy of the set

    def some(start: int) -> bool:
        gray = True
        for i in range(start, min(start + CHUNK, count)):
            image = _one(read(i), name(i))
            if image.shape[:2] != (height, width):
                found = f"{image.shape[1]}x{image.shape[0]} pixels"
                same = f"expected {width}x{height} as {name(0)}"
                raise DataError(
                    f"{name(i)}: {found}; {same}: data.image_size takes images of one size, resize them first"
                )
            gray &= image.ndim == 2
            result[i] = image if image.ndim == 3 else image[..., None]
        return gray

    with warnings.catch_warnings(), ThreadPoolExecutor(min(32, os.cpu_count() or 1)) as pool:
        warnings.simplefilter("ignore", UserWarning)  # of odd but readable palettes; what matters is raised
        all_gray = all(list(pool.map(some, range(0, count, CHUNK))))
    return result[..., :1] if all_gray else result


def decode_files(paths: Sequence[Path]) -> Pixels:
    """Decode image files; DataError names the one that cannot be read."""
    return decode(len(paths), lambda i: paths[i].read_bytes(), lambda i: str(paths[i]))


def _one(encoded: bytes, name: str) -> Pixels:
    try:
        with Image.open(BytesIO(encoded), formats=("PNG", "JPEG", "BMP", "WEBP", "TIFF", "GIF")) as image:
            if image.mode not in EIGHT_BIT:
                raise DataError(f"{name}: pixels of mode {image.mode}; expected 8 bits a channel")
            if image.mode in ("1", "L", "LA"):
                return np.asarray(image.convert("L"))
            return np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        reason = "not an image" if isinstance(error, UnidentifiedImageError) else str(error)
        raise DataError(
            f"{name}: damaged, {len(encoded)} bytes ({reason}); expected a PNG, JPEG, BMP, WebP, TIFF or GIF file"
        ) from None
