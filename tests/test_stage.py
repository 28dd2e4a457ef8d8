from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from torch import nn

from advrush.errors import ConfigError, ModelContractError, RunError
from advrush.evaluation import EvaluateConfig, evaluate
from advrush.parallel import Parallel
from advrush.run import Run
from advrush.searching import SearchConfig, search
from advrush.stage import stage
from advrush.training import TrainConfig, train

ALONE = Parallel(0, 1, torch.device("cpu"))


@dataclass(frozen=True)
class Config:
    name: str = "x"
    seed: int = 0


def test_work_is_to_be_done_once(tmp_path: Path) -> None:
    asked = []
    for _ in range(2):
        with stage(ALONE, tmp_path, "train", Config()) as (run, todo):
            asked.append(todo)
            if todo:
                run.finish({"loss": 1.0})
    assert asked == [True, False]
    assert run.found


def write_one_file_and_fail(run: Run) -> None:
    run.write_json("partial.json", {})
    raise TypeError


def test_the_directory_is_free_again_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(TypeError), stage(ALONE, tmp_path, "train", Config()) as (run, _):
        write_one_file_and_fail(run)
    with stage(ALONE, tmp_path, "train", Config()) as (again, todo):
        assert todo
        assert (again.path / "partial.json").is_file()


def test_a_start_that_fails_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(KeyError), stage(ALONE, tmp_path, "train", Config()):
        raise KeyError
    assert not list((tmp_path / "train").iterdir())


def test_a_disk_that_is_full_at_the_start_is_told_and_leaves_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(RunError, match="No space left on device"), stage(ALONE, tmp_path, "train", Config()):
        pass
    assert not list((tmp_path / "train").iterdir())


def test_a_finished_run_in_a_folder_that_can_only_be_read_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with stage(ALONE, tmp_path, "train", Config()) as (run, _):
        run.finish({})

    def refuse(folder: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("advrush.run.Lock.acquire", refuse)
    with stage(ALONE, tmp_path, "train", Config()) as (run, todo):
        assert (run.found, todo) == (True, False)
    with pytest.raises(RunError, match="Permission denied"), stage(ALONE, tmp_path, "train", Config(seed=1)):
        pass


@dataclass(frozen=True)
class Other(Parallel):
    """The second of two processes, whose first one answers as told."""

    answers: tuple[bool, ...] = ()

    def broadcast(self, flag: bool) -> bool:
        return self.answers[0]


def test_a_refusal_of_the_first_process_ends_the_others(tmp_path: Path) -> None:
    other = Other(1, 2, torch.device("cpu"), (True,))
    with pytest.raises(RunError, match="the first process cannot open it"), stage(other, tmp_path, "train", Config()):
        raise AssertionError("the work must not begin")


def test_every_stage_leaves_no_folder_where_it_cannot_begin(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(7, 10))
    many = 10**6
    starts = [
        (ConfigError, lambda: search(replace(digits(SearchConfig), batch_size=many), runs_dir=tmp_path, display=False)),
        (ConfigError, lambda: train(replace(digits(TrainConfig), batch_size=many), runs_dir=tmp_path, display=False)),
        (ModelContractError, lambda: evaluate(model, digits(EvaluateConfig), runs_dir=tmp_path, display=False)),
    ]
    for error, start in starts:
        with pytest.raises(error):
            start()
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def digits(cls: type) -> object:
    plain = cls()
    return replace(plain, data=replace(plain.data, dataset="digits"))
