"""The cache: used when nothing changed, rebuilt when the source or the stored file did."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from advrush.data import load_dataset
from data_files import Pixels, class_folders, png


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return class_folders(tmp_path / "images", Pixels(20, 2, 6, 0))


def _count_decoding(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    from advrush.data.readers import folder

    counts: list[int] = []
    decode = folder.decode_files
    monkeypatch.setattr(
        folder, "decode_files", lambda paths, side=None: counts.append(len(paths)) or decode(paths, side)
    )
    return counts


def test_it_is_decoded_once(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = _count_decoding(monkeypatch)
    one, two = (load_dataset("own", data_dir=source, cache_dir=tmp_path / "cache") for _ in range(2))
    assert counts == [20]
    assert torch.equal(one.train.images, two.train.images) and torch.equal(one.test.labels, two.test.labels)
    assert (one.checksum, one.classes, one.mean) == (two.checksum, two.classes, two.mean)
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".safetensors"]  # no temporary file is left


def test_the_environment_names_the_place(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADVRUSH_CACHE", str(tmp_path / "elsewhere"))
    load_dataset("own", data_dir=source)
    assert len(list((tmp_path / "elsewhere").glob("own-*.safetensors"))) == 1


@pytest.mark.parametrize("damage", ["cut", "flipped byte", "garbage", "empty"])
def test_a_damaged_file_is_rebuilt(damage: str, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = _count_decoding(monkeypatch)
    before = load_dataset("own", data_dir=source, cache_dir=tmp_path / "cache")
    (path,) = (tmp_path / "cache").iterdir()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1  # the last byte is a pixel or a label: only the checksum can tell
    whole = {"cut": bytes(content[:-9]), "flipped byte": bytes(content), "garbage": b"x" * 99, "empty": b""}
    path.write_bytes(whole[damage])
    after = load_dataset("own", data_dir=source, cache_dir=tmp_path / "cache")
    assert counts == [20, 20] and after.checksum == before.checksum
    load_dataset("own", data_dir=source, cache_dir=tmp_path / "cache")
    assert counts == [20, 20]  # repaired


def test_a_changed_source_is_noticed(source: Path, tmp_path: Path) -> None:
    before = load_dataset("own", data_dir=source, cache_dir=tmp_path / "cache")
    path = source / "class_0" / "0000.png"
    stat = path.stat()
    path.write_bytes(png(255 - Pixels(20, 2, 6, 0).x[0]))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))  # even if the clock has not moved on
    after = load_dataset("own", data_dir=source, cache_dir=tmp_path / "cache")
    assert torch.equal(after.train.images[0], 255 - before.train.images[0])
    assert torch.equal(after.train.images[1:], before.train.images[1:]) and after.checksum != before.checksum


def test_a_place_that_cannot_be_written_is_no_obstacle(source: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.warns(RuntimeWarning, match="decoded data cannot be kept"):
        dataset = load_dataset("own", data_dir=source, cache_dir=tmp_path / "file")
    assert len(dataset.train) == 16


def test_those_who_share_the_folder_may_read(source: Path, tmp_path: Path) -> None:
    load_dataset("own", data_dir=source, cache_dir=tmp_path / "cache")
    (path,) = (tmp_path / "cache").iterdir()
    (tmp_path / "plain").touch()
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode
