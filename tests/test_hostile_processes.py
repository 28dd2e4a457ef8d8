"""A job that loses a process ends with a message, and the same command goes on; folders without rights are named."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from advrush.cli import main
from advrush.parallel import Parallel, together

RUN = [sys.executable, "-c", "import sys; from advrush.cli import main; sys.exit(main())"]
TRAIN = ["train", "smoke", "--channels", "2", "--device", "cpu", "--epochs"]
RECIPE = """
arch = "resnet18"
channels = 2
objective = "standard"
epochs = 8
batch_size = 16
validation_examples = 16

[data]
dataset = "digits"
train_examples = 48

[attack]
val_steps = 1

[augment]
crop = 0
flip = false
"""


def job(folder: Path, arguments: list[str]) -> list[subprocess.Popen[str]]:
    """Start the two processes of a job, as a cluster does without torchrun."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    plain = {
        **os.environ,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": "2",
        "OMP_NUM_THREADS": "1",
    }
    return [
        subprocess.Popen(
            [*RUN, *arguments, "--runs-dir", str(folder)], env={**plain, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for rank in (0, 1)
    ]  # fmt: skip


@pytest.mark.timeout(900)
def test_a_killed_process_ends_the_others_with_a_message_and_the_job_resumes(tmp_path: Path) -> None:
    recipe = tmp_path / "own.toml"
    recipe.write_text(RECIPE)
    arguments = ["train", str(recipe), "--device", "cpu"]
    for killed in (1, 0):
        processes, before = job(tmp_path / "runs", arguments), rows_in(tmp_path)
        until = time.monotonic() + 240
        while rows_in(tmp_path) == before:
            assert time.monotonic() < until and all(process.poll() is None for process in processes)
            time.sleep(0.02)
        processes[killed].send_signal(signal.SIGKILL)
        _, words = processes[1 - killed].communicate(timeout=60)  # within a minute
        processes[killed].communicate()
        assert processes[1 - killed].returncode == 2 and "Traceback" not in words
        assert "another process of this job of 2 has ended" in " ".join(words.split())
        assert not list(tmp_path.rglob("result.json"))
    for process in (again := job(tmp_path / "runs", arguments)):
        process.communicate(timeout=400)
    assert [process.returncode for process in again] == [0, 0]
    assert len(list(tmp_path.rglob("result.json"))) == 1 and rows_in(tmp_path) == 8


def rows_in(folder: Path) -> int:
    """Return how many epochs the run under a folder has finished."""
    return sum(path.read_text().count("\n") for path in folder.rglob("metrics.jsonl"))


def test_only_the_loss_of_a_process_is_called_one() -> None:
    import torch

    with pytest.raises(RuntimeError, match="shape"), together(Parallel(0, 2, torch.device("cpu"))):
        raise RuntimeError("shape mismatch")
    with pytest.raises(RuntimeError, match="closed by peer"), together(Parallel(0, 1, torch.device("cpu"))):
        raise RuntimeError("Connection closed by peer")


@pytest.mark.parametrize("place", ["/proc/runs", "/dev/null/runs", "n" * 300])
def test_folders_that_cannot_be_written_are_one_line(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*TRAIN, "1", "--runs-dir", place]) == 2
    words = capsys.readouterr().err
    assert words.count("\n") == 1 and "error:" in words and place[:40] in words


@pytest.mark.parametrize("name", ["n" * 300, "n" * 5000, "a\0b"])
@pytest.mark.parametrize("verb", ["show", "evaluate", "report", "runs", "train", "import", "export"])
def test_names_too_long_for_a_file_are_refused(
    verb: str, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = {"train": ["--arch", "resnet18"], "import": ["--arch", "advrush", "--out", str(tmp_path / "x.safetensors")]}
    code = main([verb, name, *more.get(verb, []), *(["--out", str(tmp_path / "x.pt2")] if verb == "export" else [])])
    assert code == 2 or (verb == "runs" and code == 0)
    assert "Traceback" not in capsys.readouterr().err
