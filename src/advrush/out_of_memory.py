"""Recognize that memory ran out, and say what to try."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from advrush.errors import RunError


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory ran out: the CPU's allocator raises a plain RuntimeError."""
    known = isinstance(error, torch.OutOfMemoryError | MemoryError)
    return known or (isinstance(error, RuntimeError) and "can't allocate memory" in str(error))


@contextmanager
def memory_advice(field: str, value: int) -> Iterator[None]:
    """Turn running out of memory into a RunError that says which value of `field` to try."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise RunError(
            f"out of memory at {field} {value}; try {field} {max(1, value // 2)}. What was finished is kept: "
            "a smaller batch is another configuration and begins anew"
        ) from None
