"""A job that loses a process ends with a message, and the same command goes on; folders without rights are named."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from advrush.cli import main
from advrush.parallel import Parallel, together
from processes import ended, job, killed

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


def trained(recipe: Path, runs: Path) -> int:
    """Run the command; return its exit status."""
    return main(["train", str(recipe), "--device", "cpu", "--runs-dir", str(runs)])


@pytest.mark.timeout(900)
def test_a_killed_process_ends_the_others_with_a_message_and_the_job_resumes(tmp_path: Path) -> None:
    recipe = tmp_path / "own.toml"
    recipe.write_text(RECIPE)
    call = (trained, recipe, tmp_path / "runs")
    for lost in (1, 0):
        processes, before = job(2, *call, output=tmp_path / "output"), rows_in(tmp_path)
        until = time.monotonic() + 240
        while rows_in(tmp_path) == before:
            assert time.monotonic() < until and all(process.is_alive() for process in processes)
            time.sleep(0.02)
        assert killed(processes[lost]) == -9
        code = ended(processes[1 - lost], timeout=60)  # within a minute
        words = (tmp_path / f"output.{1 - lost}").read_text()
        assert code == 2 and "Traceback" not in words
        assert "another process of this job of 2 has ended" in " ".join(words.split())
        assert not list(tmp_path.rglob("result.json"))
    assert [ended(process) for process in job(2, *call, output=tmp_path / "output")] == [0, 0]
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
