"""The gate for what others may have written: any text, any bytes, any values end as a typed error or as themselves."""

from __future__ import annotations

import json
import os
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from advrush.errors import AdvrushError, ConfigError, RunError
from advrush.reading.gate import LONGEST, reading, reason, shown
from advrush.reading.tensors import read_metadata, read_pickled, read_shapes, read_tensors
from advrush.reading.text import parse_json, parse_toml, read_bytes, read_json, read_object, read_rows, read_toml
from hostile import MORE, PLAIN, refusal

DIGITS = "9" * 5000
NESTED = 100_000


@pytest.mark.parametrize(
    "text",
    ["", "{", "[" * NESTED, '{"a":' * NESTED, DIGITS, f'{{"a": {DIGITS}}}', "nul", '"\ud800"', b"\xff\xfe{}", b"\x00"],
    ids=lambda text: str(text)[:12],
)
def test_json_that_is_none(text: str | bytes) -> None:
    if text == '"\ud800"':  # JSON reads a lone surrogate, which no file in UTF-8 can hold
        return
    with pytest.raises(RunError, match=r"result\.json: not JSON"):
        parse_json(text, "result.json")


@pytest.mark.parametrize(
    "text",
    ["a", "a = ", "a = " + "[" * NESTED, f"a = {DIGITS}", b"a = '\xff'", "a = 1\na = 2", "a." * 300 + "b = 1\n["],
)
def test_toml_that_is_none(text: str | bytes) -> None:
    with pytest.raises(ConfigError, match=r"config\.toml: not valid TOML"):
        parse_toml(text, "config.toml", ConfigError)


def test_a_number_of_many_digits_can_be_shown() -> None:
    assert len(shown(int("f" * 9000, 16))) <= LONGEST
    assert shown("x" * 10_000).startswith("'xxx") and len(shown("x" * 10_000)) <= LONGEST
    endless: list[Any] = []
    endless.append(endless)
    assert len(shown([endless] * 100)) <= LONGEST
    assert shown(0.1) == "0.1" and shown(None) == "None" and shown([1, "a"]) == "[1, 'a']"


def test_reasons_are_one_line_without_terminal_codes() -> None:
    assert reason(ValueError("\x1b[1mbold\x1b[0m\n next\x07")) == "bold next"
    assert len(reason(ValueError("y" * 5000))) <= LONGEST + 3
    assert reason(KeyError("epoch")) == "KeyError 'epoch'" and reason(MemoryError()) == "MemoryError"


def test_gate_catches_panics_but_no_exit() -> None:
    class PanicError(BaseException):
        pass

    with pytest.raises(RunError, match=r"f\.bin: not a file, or damaged"), reading("f.bin", "a file"):
        raise PanicError("the reader gave up")
    for leaving in (KeyboardInterrupt, SystemExit):
        with pytest.raises(leaving), reading("f.bin", "a file"):
            raise leaving
    with pytest.raises(ConfigError, match="own words"), reading("f.bin", "a file"):
        raise ConfigError("own words")


def test_rows_leave_out_a_cut_last_line_only(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    assert read_rows(path) == []
    path.write_text('{"epoch": 0}\n{"epoch": 1}\n{"epo')
    assert read_rows(path) == [{"epoch": 0}, {"epoch": 1}]
    path.write_text('{"epoch": 0}\n{"epo\n{"epoch": 2}\n')
    with pytest.raises(RunError, match=r"metrics\.jsonl: line 2"):
        read_rows(path)
    path.write_text('{"epoch": 0}\n[1]\n')
    with pytest.raises(RunError, match="line 2: got a list"):
        read_rows(path)
    path.write_bytes(b'{"epoch": "\xff"}\n')
    with pytest.raises(RunError, match="line 1"):
        read_rows(path)


def test_files_that_are_no_plain_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").write_bytes(b"x" * 11)
    for name, message in (("pipe", "pipe or device"), ("none", "No such file"), (".", "cannot be read")):
        with pytest.raises(RunError, match=message):
            read_bytes(tmp_path / name, "a text")
    with pytest.raises(RunError, match="larger than 10 bytes"):
        read_bytes(tmp_path / "large", "a text", largest=10)
    for read in (read_json, read_toml, read_object):
        with pytest.raises(AdvrushError, match="File name too long"):
            read(tmp_path / ("n" * 5000))


@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode(errors="replace")))
def test_any_bytes_as_text_forms(content: bytes) -> None:
    for parse in (parse_json, parse_toml):
        assert "file: " in (refusal(parse, content, "file: ") or "file: ")


@given(PLAIN)
def test_json_values_come_back(value: Any) -> None:
    text = json.dumps(value)
    assert json.dumps(parse_json(text, "file")) == text


def saved(path: Path) -> Path:
    torch.save({"epoch": 1, "model": {"a": torch.arange(6.0).view(2, 3)}, "nested": OrderedDict(b=[1, "x"])}, path)
    return path


def test_states_are_read_and_their_checksums_compared(tmp_path: Path) -> None:
    path = saved(tmp_path / "last.pt")
    assert read_pickled(path, checked=True)["model"]["a"].tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
    content = bytearray(path.read_bytes())
    place = content.find(torch.tensor(5.0).numpy().tobytes())
    content[place + 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(RunError, match=r"last\.pt: .*(checksum|damaged)"):
        read_pickled(path, checked=True)


@settings(max_examples=60 * MORE)
@given(st.data())
def test_damaged_states_are_refused_or_read(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.getbasetemp() / "states"
    folder.mkdir(exist_ok=True)
    whole = saved(folder / "whole.pt").read_bytes()
    place = data.draw(st.integers(0, len(whole) - 1))
    mask = data.draw(st.integers(1, 255))
    cut = data.draw(st.booleans())
    damaged = whole[:place] if cut else whole[:place] + bytes([whole[place] ^ mask]) + whole[place + 1 :]
    path = folder / "damaged.pt"
    path.write_bytes(damaged)
    assert "damaged.pt" in (refusal(read_pickled, path, checked=True) or "damaged.pt")


@settings(max_examples=60 * MORE)
@given(st.data())
def test_damaged_safetensors_are_refused_or_read(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    import safetensors.torch

    whole = safetensors.torch.save({"a": torch.ones(3, 2)}, {"blueprint": '{"arch": "x"}'})
    place, mask = data.draw(st.integers(0, len(whole) - 1)), data.draw(st.integers(1, 255))
    damaged = data.draw(
        st.sampled_from([whole[:place], whole[:place] + bytes([whole[place] ^ mask]) + whole[place + 1 :]])
    )
    path = tmp_path_factory.getbasetemp() / "damaged.safetensors"
    path.write_bytes(damaged)
    for read in (read_tensors, read_metadata, read_shapes):
        assert "damaged.safetensors" in (refusal(read, path) or "damaged.safetensors")


def test_states_that_would_expand(tmp_path: Path) -> None:
    import zipfile

    wide = tmp_path / "wide.pt"
    torch.save({"epoch": 0, "a": torch.zeros(1).expand(10**6, 10**5)}, wide)
    with pytest.raises(RunError, match=r"wide\.pt: .*shape \(1000000, 100000\)"):
        read_pickled(wide)
    plain = saved(tmp_path / "plain.pt")
    packed = tmp_path / "packed.pt"
    with zipfile.ZipFile(plain) as old, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new:
        for record in old.infolist():
            new.writestr(record.filename, old.read(record))
    with pytest.raises(RunError, match="would expand"):
        read_pickled(packed)
    buffer = tmp_path / "buffer.pt"
    with zipfile.ZipFile(plain) as old, zipfile.ZipFile(buffer, "w") as new:
        for record in old.infolist():
            text = b"\x80\x02cbuiltins\nbytearray\nJ\x00\x00\x00\x7f\x85R."
            new.writestr(record.filename, text if record.filename.endswith("data.pkl") else old.read(record))
    with pytest.raises(RunError, match="a length of its own choice"):
        read_pickled(buffer)
    old_form = tmp_path / "old.pt"
    torch.save({"epoch": 0, "a": torch.ones(2)}, old_form, _use_new_zipfile_serialization=False)
    assert read_pickled(old_form)["a"].tolist() == [1.0, 1.0]


def test_states_with_code_do_not_advise_to_run_it(tmp_path: Path) -> None:
    torch.save({"epoch": 0, "code": os.system}, tmp_path / "last.pt")
    with pytest.raises(RunError, match=r"refused, since it holds .*: posix\.system") as refused:
        read_pickled(tmp_path / "last.pt")
    assert "weights_only" not in str(refused.value)
