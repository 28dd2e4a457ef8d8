"""Keep freed memory in the process while an attack runs on a CPU.

An attack makes maps of the same sizes in every pass. glibc's allocator gives large freed blocks back to the system,
which hands them out again page by page and filled with zeros: on small networks a third of a forward pass.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3  # mallopt(3)
_MIB = 1 << 20
WITHIN = {_MMAP_THRESHOLD: 256 * _MIB, _TRIM_THRESHOLD: 1024 * _MIB, _TOP_PAD: 64 * _MIB}
"""Blocks of up to 256 MiB come from the heap, which keeps up to 1 GiB that is free at its end and grows by 64 MiB."""
AFTERWARDS = {_MMAP_THRESHOLD: 32 * _MIB, _TRIM_THRESHOLD: 64 * _MIB, _TOP_PAD: 128 << 10}
"""What glibc's own adjustment comes to where large blocks are freed; no call brings the adjustment itself back."""


@contextmanager
def keeping_freed_memory(device: torch.device) -> Iterator[None]:
    """Keep freed memory within the context, and give back what is free at its end.

    It changes the time of allocations alone. Nothing is done on another device than a CPU, with another C library than
    glibc, or where the environment (MALLOC_..., GLIBC_TUNABLES) sets the allocator itself.
    """
    library = _glibc() if device.type == "cpu" and not _is_set_by_user() else None
    if library is None:
        yield
        return
    _set(library, WITHIN)
    try:
        yield
    finally:
        _set(library, AFTERWARDS)
        library.malloc_trim(0)


def _set(library: ctypes.CDLL, options: dict[int, int]) -> None:
    for option, value in options.items():
        library.mallopt(option, value)


def _is_set_by_user() -> bool:
    return any(name.startswith("MALLOC_") and name.endswith("_") for name in os.environ) or (
        "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", "")
    )


@cache
def _glibc() -> ctypes.CDLL | None:
    """Return the C library of this process; None if it is not glibc."""
    try:
        library = ctypes.CDLL(None)
    except (OSError, TypeError):
        return None
    names = ("gnu_get_libc_version", "mallopt", "malloc_trim")
    return library if all(hasattr(library, name) for name in names) else None
