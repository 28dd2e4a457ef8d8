"""Load the compiled kernels, where a compiler was found when the package was installed."""

from __future__ import annotations

import ctypes
import os
import struct
import warnings
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from advrush.kernels.native.sources import digest_of_sources

SUFFIX = {torch.float32: "f32", torch.float64: "f64"}
"""Of the kernels' names, for each data type that they are made for."""
BUILT_FOR = {"AVX2": "avx2", "AVX512": "avx512"}
"""The part of the library's file name for each capability of a processor as torch names it."""


@lru_cache(maxsize=1)
def library() -> ctypes.CDLL | None:
    """Return the kernels compiled for this processor; None where there are none or `ADVRUSH_NATIVE=0` is set.

    The file is built by `hatch_build.py` when the package is installed. Without it torch's own operations run, to the
    same results up to rounding.
    """
    if os.environ.get("ADVRUSH_NATIVE") == "0":
        return None
    path = path_for(torch.backends.cpu.get_cpu_capability())
    if path is None or not path.is_file():
        return None
    try:
        found = ctypes.CDLL(str(path))  # OpenMP's symbols are those that torch has loaded
    except OSError:
        return None
    if _sources_of(found) != digest_of_sources(path.parent):
        warnings.warn(
            f"{path.name} was compiled from another source than there is now, and is not used: install advrush again",
            stacklevel=2,
        )
        return None
    return found


def _sources_of(kernels: ctypes.CDLL) -> str | None:
    """Return the digest of the source that a library was compiled from; None where it does not say."""
    try:
        function = kernels.digest_of_sources
    except AttributeError:
        return None
    function.restype = ctypes.c_char_p
    return str(function().decode())


def path_for(capability: str) -> Path | None:
    """Return where the library for a processor's `capability` lies if it was built; None where none is ever built."""
    name = BUILT_FOR.get(capability)
    return None if name is None else Path(__file__).with_name(f"kernels-{name}.so")


def applies(*tensors: Tensor) -> bool:
    """Return whether the kernels take maps (N, C, H, W) like these: channels last, on a CPU, of one data type."""
    first = tensors[0]
    if first.dtype not in SUFFIX or library() is None or torch.compiler.is_compiling():
        return False
    return all(
        type(x) in (Tensor, torch.nn.Parameter)
        and x.device.type == "cpu"
        and x.dtype == first.dtype
        and not torch._C._functorch.is_functorch_wrapped_tensor(x)
        and x.is_contiguous(memory_format=torch.channels_last)
        for x in tensors
    )


def laid_out(x: Tensor) -> Tensor:
    """Return a map (N, C, H, W) in the layout of the kernels' loops: itself, or a copy."""
    return x.detach().contiguous(memory_format=torch.channels_last)


def call(name: str, dtype: torch.dtype, *arguments: int | bytes | Tensor | None) -> None:
    """Call a kernel on torch's threads: integers as they are, tensors and bytes by address, None as a null pointer.

    Tensors must be dense, maps `laid_out`. They stay alive during the call as the caller holds them.
    """
    function = _function(f"{name}_{SUFFIX[dtype]}", tuple(type(a) is bytes for a in arguments))
    function(*[_argument(a) for a in arguments], torch.get_num_threads())


def addresses(maps: Sequence[Tensor | None]) -> bytes:
    """Return where maps lie, packed as a C array of pointers: None as a null pointer."""
    return struct.pack(f"={len(maps)}Q", *(0 if each is None else each.data_ptr() for each in maps))


def _argument(value: int | bytes | Tensor | None) -> int | bytes:
    if isinstance(value, Tensor):
        return value.data_ptr()
    return 0 if value is None else value


@lru_cache(maxsize=64)
def _function(name: str, texts: tuple[bool, ...]) -> Callable[..., None]:
    """Return a kernel that takes bytes where `texts` says so, else integers and addresses, then the threads."""
    kernels = library()
    assert kernels is not None, "`applies` was asked first"
    function = getattr(kernels, name)
    function.restype = None
    function.argtypes = [*(ctypes.c_char_p if text else ctypes.c_int64 for text in texts), ctypes.c_int]
    return function  # type: ignore[no-any-return]
