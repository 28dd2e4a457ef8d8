"""A pickle that asks for anything but arrays is refused by name, and nothing of it runs."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from advrush.data.readers.pickles import load_batch
from advrush.errors import DataError


class Calls:
    """Pickles as a call of `function` with `arguments`."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.call


@pytest.mark.parametrize("protocol", range(6))
def test_code_in_a_pickle_does_not_run(protocol: int, tmp_path: Path) -> None:
    for function in (os.mkdir, eval, exec):
        witness = tmp_path / f"ran-{function.__name__}"
        argument = str(witness) if function is os.mkdir else f"__import__('os').mkdir({str(witness)!r})"
        content = pickle.dumps({"data": Calls(function, argument)}, protocol=protocol)
        with pytest.raises(DataError, match=rf"batch_1: it asks for \w+\.{function.__name__}, .*: refused"):
            load_batch(content, "batch_1")
        assert not witness.exists()
        pickle.loads(content)  # the danger is real: the plain unpickler runs it
        assert witness.exists()


@pytest.mark.parametrize(
    "named",
    [
        b"numpy\nload",
        b"numpy.core.multiarray\nfromfile",
        b"builtins\ngetattr",
        b"numpy\nndarray.tofile",
        b"copyreg\n_reconstructor",
    ],
)
def test_names_beside_the_admitted_ones_are_refused(named: bytes) -> None:
    with pytest.raises(DataError, match="refused"):
        load_batch(b"c" + named + b"\n.", "batch_1")


def test_an_array_of_objects_is_refused() -> None:
    content = pickle.dumps({"data": np.array([{}, None], dtype=object)}, protocol=2)
    with pytest.raises(DataError, match="not of bytes or integers"):
        load_batch(content, "batch_1")


def test_an_array_that_claims_more_than_it_holds_is_refused() -> None:
    content = pickle.dumps({"data": np.zeros((2, 3), np.uint8)}, protocol=2)
    assert content.count(b"K\x02K\x03\x86") == 1
    with pytest.raises(DataError, match="cannot reshape"):
        load_batch(content.replace(b"K\x02K\x03\x86", b"K\x09K\x03\x86"), "batch_1")


@pytest.mark.parametrize("value", [[1, 2], "text", np.zeros(3, np.uint8)])
def test_anything_but_a_dictionary_is_refused(value: object) -> None:
    with pytest.raises(DataError, match="expected the dictionary"):
        load_batch(pickle.dumps(value, protocol=2), "batch_1")


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_come_back_exactly(protocol: int, order: str) -> None:
    array = np.arange(12, dtype=np.uint8).reshape(3, 4).copy(order=order)  # type: ignore[call-overload]
    data = load_batch(pickle.dumps({b"data": array, b"labels": np.arange(3)}, protocol=protocol), "batch_1")
    assert (data["data"] == array).all() and data["data"].dtype == np.uint8
    assert data["labels"].tolist() == [0, 1, 2]


def test_a_pickle_of_python_2_is_read() -> None:
    """Written by hand as Python 2 wrote it: text as bytes (opcode U), numpy's old module names."""
    content = (
        b"\x80\x02}(U\x04datacnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01K\x01K\x03\x86cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        b"\x89U\x03\x01\x02\x03tbU\x06labels](K\x07eu."
    )
    data = load_batch(content, "batch_1")
    assert data["data"].tolist() == [[1, 2, 3]] and data["labels"] == [7]
