"""Pickled CIFAR batches without running what a pickle may ask for: no code outside this file is ever called.

A pickle names functions to call. Here each of the few names that a pickled numpy array needs stands for a small
function of this file that only notes the arguments; numpy's own unpickling code is not reached, and any other
name is refused.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from advrush.errors import DataError


class _DataType:
    """Stands for numpy.dtype: the code of the type, "u1" say."""

    def __init__(self, code: object, *_: object) -> None:
        self.code = code.decode("latin-1") if isinstance(code, bytes) else str(code)
        self.order = "<"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        order = state[1]
        self.order = order.decode("latin-1") if isinstance(order, bytes) else str(order)


class _Array:
    """Stands for numpy.ndarray: shape, type and bytes, as pickled."""

    def __init__(self) -> None:
        self.state: tuple[Any, ...] = ()

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.state = state

    def value(self) -> np.ndarray[Any, np.dtype[Any]]:
        """Return the array; ValueError if it is none of unsigned bytes or integers."""
        if len(self.state) != 5 or not isinstance(self.state[2], _DataType):
            raise ValueError("an array without content")
        _, shape, kind, fortran, content = self.state
        if kind.code not in ("u1", "i4", "i8") or kind.order not in ("<", "|", "="):
            raise ValueError(f"an array of type {kind.order}{kind.code}, not of bytes or integers")
        flat = np.frombuffer(bytes(content), dtype=f"<{kind.code}")
        return flat.reshape(tuple(int(size) for size in shape), order="F" if fortran else "C")


def _reconstruct(*_: object) -> _Array:
    return _Array()


def _frombuffer(content: bytes, kind: _DataType, shape: tuple[int, ...], order: str) -> _Array:
    """Stand for what numpy's arrays pickle to in protocol 5."""
    array = _Array()
    array.state = (1, shape, kind, order == "F", content)
    return array


def _encode(text: str, encoding: str = "latin1") -> bytes:
    """Stand for _codecs.encode, by which Python 3 writes bytes in protocol 2."""
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"bytes in the encoding {encoding!r}; expected latin1")
    return text.encode("latin-1")


def _ndarray(*_: object) -> _Array:
    return _Array()


_STANDS_FOR: Mapping[tuple[str, str], Callable[..., Any]] = MappingProxyType(
    {
        ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
        ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
        ("numpy.core.numeric", "_frombuffer"): _frombuffer,
        ("numpy._core.numeric", "_frombuffer"): _frombuffer,
        ("numpy", "ndarray"): _ndarray,
        ("numpy", "dtype"): _DataType,
        ("_codecs", "encode"): _encode,
        ("builtins", "bytearray"): bytearray,
    }
)


class _RefusedError(Exception):
    """The pickle names something that is not admitted."""


class _Restricted(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        found = _STANDS_FOR.get((module, name))
        if found is None:
            raise _RefusedError(f"it asks for {module}.{name}, which no CIFAR batch does: refused")
        return found


def load_batch(content: bytes, where: str) -> dict[str, Any]:
    """Return the dictionary of a pickled batch, with text keys and numpy arrays.

    Raises DataError naming `where` for a truncated pickle, one that asks for anything but arrays and built-in
    values, and one that holds no dictionary.
    """
    try:
        data = _Restricted(io.BytesIO(content), encoding="bytes").load()
    except _RefusedError as error:
        raise DataError(f"{where}: {error}") from None
    except Exception as error:  # a damaged pickle can fail in any way; none of them runs code
        reason = str(error) or type(error).__name__
        raise DataError(f"{where}: truncated, or not a CIFAR batch, {len(content)} bytes ({reason})") from None
    if not isinstance(data, dict):
        raise DataError(f"{where}: holds a {type(data).__name__}; expected the dictionary of a CIFAR batch")
    try:
        return {_text(key): value.value() if isinstance(value, _Array) else value for key, value in data.items()}
    except (TypeError, ValueError) as error:
        raise DataError(f"{where}: not a CIFAR batch ({error})") from None


def _text(value: object) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def texts(values: Any, where: str) -> tuple[str, ...]:
    """Return a pickled list of names as text; DataError if it is no list."""
    if not isinstance(values, list):
        raise DataError(f"{where}: holds no list of class names")
    return tuple(_text(value) for value in values)
