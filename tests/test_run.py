"""Run directories: atomic files, resume, cache, lock."""

import errno
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from advrush.atomic_write import write_atomically
from advrush.errors import ConfigError, RunError
from advrush.reading.tensors import read_metadata
from advrush.run import Run
from processes import ended, started


@dataclass(frozen=True)
class Config:
    seed: int = 0


Open = Callable[..., Run]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    runs: list[Run] = []

    def make(seed: int = 0) -> Run:
        runs.append(Run.open(tmp_path, "train", "x", Config(seed)))
        return runs[-1]

    yield make
    for run in runs:
        run.close()


def test_directory_is_named_by_stage_name_and_digest(opened: Open, tmp_path: Path) -> None:
    first, second = opened(), opened(1)
    assert first.path.parent == tmp_path / "train"
    assert first.path.name.startswith("x-")
    assert first.path != second.path
    assert (first.path / "config.toml").read_text() == "seed = 0\n"
    assert json.loads((first.path / "environment.json").read_text())["torch"] == torch.__version__


def test_second_writer_is_refused_until_the_first_closes(opened: Open, tmp_path: Path) -> None:
    first = opened()
    assert ended(started(open_and_close, tmp_path, output=tmp_path / "output")) == 1
    assert "another process is working on this run" in (tmp_path / "output").read_text()
    first.close()
    assert ended(started(open_and_close, tmp_path)) == 0


def open_and_close(runs: Path) -> None:
    Run.open(runs, "train", "x", Config()).close()


def test_metrics_of_epochs_to_be_repeated_are_dropped(opened: Open) -> None:
    run = opened()
    for epoch in range(3):
        run.log({"epoch": epoch})
    run.save_state({"epoch": 2, "weights": torch.ones(2)})
    with (run.path / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 3, "cut by a ki')
    state = run.load_state()
    assert state is not None
    assert torch.equal(state["weights"], torch.ones(2))
    assert run.metrics() == [{"epoch": 0}, {"epoch": 1}]


def test_state_with_code_in_it_is_refused(opened: Open) -> None:
    run = opened()
    torch.save({"epoch": 0, "code": print}, run.path / "last.pt")
    with pytest.raises(RunError, match=r"last\.pt: cannot be read"):
        run.load_state()


def test_result_means_done(opened: Open) -> None:
    run = opened()
    assert not run.done
    with pytest.raises(RunError, match="not finished"):
        run.result()
    run.finish({"accuracy": 0.5})
    run.close()
    assert opened().done
    assert run.result() == {"accuracy": 0.5}


def test_tensors_keep_their_metadata(opened: Open) -> None:
    run = opened()
    run.save_tensors("a/b.safetensors", {"x": torch.arange(6).view(2, 3).T}, {"arch": "y"})
    assert torch.equal(run.load_tensors("a/b.safetensors")["x"], torch.arange(6).view(2, 3).T)
    assert read_metadata(run.path / "a/b.safetensors") == {"arch": "y"}


def test_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_atomically(path, "old")

    def fail(descriptor: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, "new")
    assert path.read_text() == "old"


def test_folder_that_is_no_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="not a run directory"):
        Run.at(tmp_path)


@pytest.mark.parametrize(
    ("key", "then", "now", "named"), [("data", "a", "b", "data"), ("outputs", [1.0, 2.0], [1.0, 2.1], "network")]
)
def test_run_of_something_else_is_refused_by_name(tmp_path: Path, key: str, then: Any, now: Any, named: str) -> None:
    run = Run.open(tmp_path, "train", "x", Config(), identity={key: then})
    run.finish({"loss": 1.0})
    run.close()
    Run.open(tmp_path, "train", "x", Config(), identity={key: then}).close()
    with pytest.raises(RunError, match=f"another {named}"):
        Run.open(tmp_path, "train", "x", Config(), identity={key: now})
    Run.open(tmp_path, "train", "x", Config(), identity={key: then}).close()  # the refusal released the lock


def test_outputs_equal_up_to_rounding_are_the_same_model(tmp_path: Path) -> None:
    run = Run.open(tmp_path, "train", "x", Config(), identity={"outputs": [1.0, -2.0]})
    run.finish({})
    run.close()
    again = Run.open(tmp_path, "train", "x", Config(), identity={"outputs": [1.00001, -2.00001]})
    assert again.done
    again.close()


@pytest.mark.parametrize(
    "name",
    ["a/b", "a\\b", "../up", ".hidden", "x" * 300, "\u00e9" * 150, "", " ", "a\nb", "a\0b", "\x1b[31m", "\ud800"],
)
def test_name_that_is_no_file_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="name"):
        Run.open(tmp_path, "train", name, Config())
    assert not list(tmp_path.iterdir())


def test_run_that_computed_nothing_leaves_no_folder(tmp_path: Path) -> None:
    run = Run.open(tmp_path, "train", "x", Config(), identity={"data": "a"})
    assert run.path.is_dir()
    run.close()
    assert not run.path.exists()


@pytest.mark.parametrize("content", ["", "{", "[1]", '"text"', "[" * 100_000])
def test_damaged_result_is_named(tmp_path: Path, content: str) -> None:
    run = Run.open(tmp_path, "train", "x", Config())
    run.finish({})
    run.close()
    (run.path / "result.json").write_text(content)
    with pytest.raises(RunError, match=r"result\.json"):
        run.result()


def test_file_system_without_locks_is_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", none)
    run = Run.open(tmp_path, "train", "x", Config())
    run.finish({})
    run.close()
    assert run.done


def test_metrics_that_were_lost_beside_a_state_are_named(opened: Open) -> None:
    run = opened()
    for epoch in range(2):
        run.log({"epoch": epoch, "seconds": 1.0})
    run.check_metrics(2, ("seconds",))
    for epochs, keys in ((3, ("seconds",)), (1, ("seconds",)), (2, ("seconds", "loss"))):
        with pytest.raises(RunError, match=r"metrics\.jsonl: tells"):
            run.check_metrics(epochs, keys)


def test_files_of_tensors_have_the_same_bytes_each_time(tmp_path: Path) -> None:
    run = Run.open(tmp_path, "train", "x", {"a": 1})
    metadata = {name: f"{name} é" for name in "fabcde"}
    for number in range(8):
        run.save_tensors(f"{number}.safetensors", {"w": torch.arange(6.0), "v": torch.ones(2, 3)}, metadata)
    files = {(run.path / f"{number}.safetensors").read_bytes() for number in range(8)}
    assert len(files) == 1
    assert read_metadata(run.path / "0.safetensors") == metadata
    assert torch.equal(run.load_tensors("0.safetensors")["v"], torch.ones(2, 3))
    run.close()
