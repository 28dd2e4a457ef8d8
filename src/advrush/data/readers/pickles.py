"""Read pickled CIFAR batches with a restricted unpickler: no code of the file is called.

A pickle names functions to call. Here each of the few names that a pickled numpy array needs stands for a small
function of this file that only notes the arguments; numpy's own unpickling code is not reached, and any other
name is refused.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from advrush.errors import DataError, kind_of

MOST_OPCODES = 2**21
"""Steps of a pickle: the largest batch, CIFAR-100's 50,000 images with their names, has a quarter of a million."""
LONGEST_WORD = 1000


class _DataType:
    """Stands for numpy.dtype: the code of the type, "u1" say."""

    def __init__(self, code: object, *_: object) -> None:
        self.code = _word(code)
        self.order = "<"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = _word(state[1])


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
        if not isinstance(content, bytes | bytearray):
            raise ValueError(f"an array whose content is a {type(content).__name__}")
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


def _bytearray(content: object = b"", encoding: object = "latin1") -> bytearray:
    """Stand for bytearray, of bytes only: of a number it would take as much memory as that says."""
    if not isinstance(content, bytes | bytearray | str) or encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"a bytearray of a {type(content).__name__}")
    return bytearray(content.encode("latin-1") if isinstance(content, str) else content)


_STANDS_FOR: Mapping[tuple[str, str], Callable[..., Any]] = MappingProxyType(
    {
        ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
        ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
        ("numpy.core.numeric", "_frombuffer"): _frombuffer,
        ("numpy._core.numeric", "_frombuffer"): _frombuffer,
        ("numpy", "ndarray"): _ndarray,
        ("numpy", "dtype"): _DataType,
        ("_codecs", "encode"): _encode,
        ("builtins", "bytearray"): _bytearray,
        ("__builtin__", "bytearray"): _bytearray,
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
        _check_opcodes(content)
        data = _Restricted(io.BytesIO(content), encoding="bytes").load()
    except _RefusedError as error:
        raise DataError(f"{where}: {error}") from None
    except Exception as error:  # a damaged pickle can fail in any way; none of them runs code
        reason = str(error) or type(error).__name__
        raise DataError(f"{where}: truncated, or not a CIFAR batch, {len(content)} bytes ({reason})") from None
    if not isinstance(data, dict):
        raise DataError(f"{where}: holds {kind_of(data)}; expected the dictionary of a CIFAR batch")
    try:
        return {_word(key): value.value() if isinstance(value, _Array) else value for key, value in data.items()}
    except (TypeError, ValueError) as error:
        raise DataError(f"{where}: not a CIFAR batch ({error})") from None


def _check_opcodes(content: bytes) -> None:
    """Raise ValueError for what no batch needs and a small pickle can take much memory or time with.

    That is: millions of small objects, a memo of a length of its own choice, and tuples that hold one another twice
    (hashing such takes time that doubles with each of them).
    """
    kept: set[int] = set()
    tuples: set[int] = set()
    before = ""
    for number, (opcode, argument, _) in enumerate(pickletools.genops(content)):
        name = opcode.name
        if number >= MOST_OPCODES or name == "DUP":
            raise ValueError(f"more than {MOST_OPCODES} values, or values doubled")
        if name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            place = len(kept) if argument is None else int(argument)
            if not 0 <= place <= MOST_OPCODES:
                raise ValueError(f"a place {place} for a value")
            kept.add(place)
            if before.startswith("TUPLE"):
                tuples.add(place)
        elif name in ("GET", "BINGET", "LONG_BINGET") and argument is not None and int(argument) in tuples:
            raise ValueError("values that hold one another twice")
        before = name


def _word(value: object) -> str:
    """Return a short text or bytes as text; ValueError for anything else, which might print without end."""
    if not isinstance(value, bytes | str) or len(value) > LONGEST_WORD:
        raise ValueError(f"a {type(value).__name__} where a word was expected")
    return value.decode("latin-1") if isinstance(value, bytes) else value


def texts(values: Any, where: str) -> tuple[str, ...]:
    """Return a pickled list of names as text; DataError if it is no list."""
    if not isinstance(values, list):
        raise DataError(f"{where}: holds no list of class names")
    try:
        return tuple(_word(value) for value in values)
    except ValueError as error:
        raise DataError(f"{where}: not a list of class names ({error})") from None
