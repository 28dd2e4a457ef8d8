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
from PIL import Image, ImageOps, UnidentifiedImageError

from advrush.errors import DataError
from advrush.reading.bounds import LARGEST_FILE, LARGEST_IMAGE, LARGEST_SET, check_size
from advrush.reading.gate import reading, reason
from advrush.reading.text import read_bytes

Pixels = np.ndarray[Any, np.dtype[np.uint8]]
EIGHT_BIT = frozenset({"1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr"})
CHUNK = 256
"""Images a task decodes: fewer make the queue cost more than the decoding of a 32-pixel image."""


def decode(count: int, read: Callable[[int], bytes], name: Callable[[int], str], *, side: int | None = None) -> Pixels:
    """Decode `count` image files into uint8 (N, H, W, C), gray (C = 1) only if all are.

    `read(i)` gives the bytes of file i, `name(i)` what to call it. With `side`, each image is resized so that its
    shorter edge has that many pixels (antialiased bilinear), and cut to the square in its middle. A camera's note on
    which side is up (EXIF) is heeded. Raises DataError
    naming a broken file, one of another size than the first, or one with more than 8 bits a channel.
    """

    def one(i: int) -> Pixels:
        with reading(name(i), "a readable image", DataError):
            return _one(read(i), name(i), side)

    if count == 0:
        return np.empty((0, 1, 1, 1), np.uint8)
    height, width = (side, side) if side else one(0).shape[:2]
    check_size(name(0), count * height * width * 3, LARGEST_SET, f"bytes with {count - 1} more of its size")
    result = np.empty((count, height, width, 3), np.uint8)  # each thread fills its rows: no second copy of the set

    def some(start: int) -> bool:
        gray = True
        for i in range(start, min(start + CHUNK, count)):
            image = one(i)
            if image.shape[:2] != (height, width):
                found = f"{image.shape[1]}x{image.shape[0]} pixels"
                same = f"expected {width}x{height} as {name(0)}"
                raise DataError(
                    f"{name(i)}: {found}; {same}: give data.image_size (--data.image-size 32) to resize and crop all"
                )
            gray &= image.ndim == 2
            result[i] = image if image.ndim == 3 else image[..., None]
        return gray

    with warnings.catch_warnings(), ThreadPoolExecutor(min(32, os.cpu_count() or 1)) as pool:
        warnings.simplefilter("ignore", UserWarning)  # of odd but readable palettes; what matters is raised
        all_gray = all(list(pool.map(some, range(0, count, CHUNK))))
    return result[..., :1] if all_gray else result


def decode_files(paths: Sequence[Path], side: int | None = None) -> Pixels:
    """Decode image files, with `side` resized and cropped; DataError names the one that cannot be read."""

    def read(i: int) -> bytes:
        return read_bytes(paths[i], "an image", DataError, largest=LARGEST_FILE)

    return decode(len(paths), read, lambda i: str(paths[i]), side=side)


def same_squares(paths: Sequence[Path]) -> bool:
    """Return whether all images are square and of one size, by their headers; one that cannot be read counts so."""
    sizes = set()
    for path in paths:
        try:
            with warnings.catch_warnings(), Image.open(path) as image:
                warnings.simplefilter("ignore")
                sizes.add(image.size)
        except Exception:
            continue  # decoding names it
        if len(sizes) > 1:
            return False
    return all(width == height for width, height in sizes)


def _fit(image: Image.Image, side: int) -> Image.Image:
    """Return the image with its shorter edge `side` pixels long, cut to the square in its middle."""
    width, height = image.size
    scale = side / min(width, height)
    if min(width, height) != side:
        image = image.resize(
            (max(side, round(width * scale)), max(side, round(height * scale))), Image.Resampling.BILINEAR
        )
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side))


def _one(encoded: bytes, name: str, side: int | None = None) -> Pixels:
    try:
        with Image.open(BytesIO(encoded), formats=("PNG", "JPEG", "BMP", "WEBP", "TIFF", "GIF")) as image:
            check_size(name, image.width * image.height, LARGEST_IMAGE, "pixels")
            if image.mode not in EIGHT_BIT:
                raise DataError(f"{name}: pixels of mode {image.mode}; expected 8 bits a channel")
            plain = ImageOps.exif_transpose(image).convert("L" if image.mode in ("1", "L", "LA") else "RGB")
            if side:
                long, short = max(plain.size), max(1, min(plain.size))
                check_size(name, side * side * long // short, LARGEST_IMAGE, "pixels when resized")
            return np.asarray(_fit(plain, side) if side else plain)
    except DataError:
        raise
    except Exception as error:  # damaged bytes can fail in any way
        why = "not an image" if isinstance(error, UnidentifiedImageError) else reason(error)
        raise DataError(
            f"{name}: damaged, {len(encoded)} bytes ({why}); expected a PNG, JPEG, BMP, WebP, TIFF or GIF file"
        ) from None
