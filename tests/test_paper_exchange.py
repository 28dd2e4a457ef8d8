"""Runs as archives at a URL: what a stopped writer leaves, what is not there, what cannot be reached."""

import json
import time
from pathlib import Path

import pytest

from advrush.cli import main
from advrush.errors import ConfigError, RunError
from advrush.paper.exchange import FINISHED, UNFINISHED, Exchange, kept_up, places

PLACE = "train/mine-0a1b2c3d"


def run(folder: Path, content: str = "one") -> Path:
    path = folder / PLACE
    path.mkdir(parents=True, exist_ok=True)
    for name in ("config.toml", "metrics.jsonl", "last.pt", ".lock", ".x.tmp"):
        (path / name).write_text(content)
    return path


@pytest.fixture
def exchange(tmp_path: Path) -> Exchange:
    found = Exchange(f"file://{tmp_path}/there")
    found.check()
    return found


def test_a_run_comes_back_as_it_was_without_its_lock(exchange: Exchange, tmp_path: Path) -> None:
    run(tmp_path / "here")
    exchange.put("key", tmp_path / "here", {"run": PLACE, "data": "abc"})
    assert exchange.get("key", tmp_path / "home") == {"run": PLACE, "data": "abc"}
    names = sorted(file.name for file in (tmp_path / "home" / PLACE).iterdir())
    assert names == ["config.toml", "last.pt", "metrics.jsonl"]


def test_what_is_not_there_is_none(exchange: Exchange, tmp_path: Path) -> None:
    assert exchange.entry("key") is None
    assert exchange.get("key", tmp_path / "home") is None
    exchange.drop("key")


def test_a_later_archive_takes_the_place_of_the_earlier(exchange: Exchange, tmp_path: Path) -> None:
    for content in ("one", "two"):
        run(tmp_path / "here", content)
        exchange.put("key", tmp_path / "here", {"run": PLACE}, UNFINISHED)
    assert exchange.get("key", tmp_path / "home", UNFINISHED) == {"run": PLACE}
    assert (tmp_path / "home" / PLACE / "last.pt").read_text() == "two"
    assert len(list((tmp_path / "there" / UNFINISHED).glob("*.tar"))) == 1
    exchange.drop("key")
    assert not list((tmp_path / "there" / UNFINISHED).iterdir())


def test_a_writer_that_was_stopped_before_its_note_changes_nothing(exchange: Exchange, tmp_path: Path) -> None:
    run(tmp_path / "here")
    exchange.put("key", tmp_path / "here", {"run": PLACE})
    (tmp_path / "there" / FINISHED / "key-half.tar").write_bytes(b"half of an archive")
    assert exchange.get("key", tmp_path / "home") == {"run": PLACE}


@pytest.mark.parametrize("damage", ["archive", "note", "missing"])
def test_damage_is_named(exchange: Exchange, tmp_path: Path, damage: str) -> None:
    run(tmp_path / "here")
    exchange.put("key", tmp_path / "here", {"run": PLACE})
    (archive,) = (tmp_path / "there" / FINISHED).glob("*.tar")
    if damage == "archive":
        archive.write_bytes(archive.read_bytes()[:700])
    elif damage == "note":
        (tmp_path / "there" / FINISHED / "key.json").write_text(json.dumps({"run": 3}))
    else:
        archive.unlink()
    with pytest.raises(RunError, match=r"finished/key.*remove it"):
        exchange.get("key", tmp_path / "home")


def test_an_archive_writes_nothing_outside_the_folder(exchange: Exchange, tmp_path: Path) -> None:
    import io
    import tarfile

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("../outside"), io.BytesIO(b""))
    folder = tmp_path / "there" / FINISHED
    (folder / "bad.tar").write_bytes(buffer.getvalue())
    (folder / "key.json").write_text(json.dumps({"run": PLACE, "of": "bad.tar"}))
    with pytest.raises(RunError, match="cannot be unpacked"):
        exchange.get("key", tmp_path / "home")
    assert not (tmp_path / "outside").exists()


def test_an_unfinished_run_is_kept_up_while_it_changes(exchange: Exchange, tmp_path: Path) -> None:
    here = tmp_path / "here"
    with kept_up(exchange, "key", here, places(here), every=0.02):
        for content in ("one", "two"):
            path = run(here, content)
            until = time.monotonic() + 20
            while True:
                assert time.monotonic() < until
                exchange.get("key", tmp_path / "home", UNFINISHED)
                copy = tmp_path / "home" / PLACE / "last.pt"
                if copy.is_file() and copy.read_text() == content:
                    break
                time.sleep(0.01)
    assert path.is_dir()


def test_runs_that_were_there_before_are_not_kept_up(exchange: Exchange, tmp_path: Path) -> None:
    here = tmp_path / "here"
    run(here)
    with kept_up(exchange, "key", here, places(here), every=0.01):
        time.sleep(0.2)
    assert exchange.entry("key", UNFINISHED) is None


@pytest.mark.parametrize("url", ["nosuch://bucket/runs", "file:///proc/nowhere/runs"])
def test_a_url_that_cannot_be_used_is_named(url: str) -> None:
    with pytest.raises(ConfigError, match=r"cluster_store.*(nosuch|/proc/nowhere)"):
        Exchange(url).check()


@pytest.mark.parametrize("option", [["--cluster-store", "file:///tmp/x"], ["--cluster-shares", "3"]])
def test_options_of_the_cluster_need_one(option: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce", "fig1", *option]) == 2
    assert option[0].strip("-").replace("-", "_") in capsys.readouterr().err
