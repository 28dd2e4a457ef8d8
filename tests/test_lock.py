from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from advrush.errors import RunError
from advrush.lock import LOCK, Lock


def try_in_another_process(folder: Path) -> str:
    code = (
        "import sys; from pathlib import Path; from advrush.lock import Lock; from advrush.errors import RunError\n"
        "try: Lock.acquire(Path(sys.argv[1])).release(); print('free')\n"
        "except RunError as error: print(error)"
    )
    return subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True).stdout


def test_a_second_process_is_told_who_holds_the_lock_and_since_when(tmp_path: Path) -> None:
    lock = Lock.acquire(tmp_path)
    refused = try_in_another_process(tmp_path)
    assert f"process {os.getpid()} on {platform.node()}, since 20" in refused
    lock.release()
    assert try_in_another_process(tmp_path) == "free\n"


@pytest.mark.parametrize("content", ["", "not json", "[1]", "{}"])
def test_a_lock_whose_file_does_not_tell_its_holder_still_refuses(tmp_path: Path, content: str) -> None:
    lock = Lock.acquire(tmp_path)
    (tmp_path / LOCK).write_text(content)
    with pytest.raises(RunError, match="another process is working on this run; wait"):
        Lock.acquire(tmp_path)
    lock.release()


def test_the_lock_of_a_killed_process_is_taken_and_renamed(tmp_path: Path) -> None:
    (tmp_path / LOCK).write_text(json.dumps({"host": "elsewhere", "process": 1, "since": "long ago"}))
    lock = Lock.acquire(tmp_path)
    assert json.loads((tmp_path / LOCK).read_text())["process"] == os.getpid()
    lock.release()
    assert (tmp_path / LOCK).read_text() == ""  # no machine's name stays in a finished run


WITHOUT_FCNTL = """
import sys
sys.modules["fcntl"] = None  # as where there is none: importing it raises ImportError
from dataclasses import dataclass
from pathlib import Path
import advrush, advrush.cli
from advrush.run import Run
[getattr(advrush, name) for name in advrush.__all__]

@dataclass(frozen=True)
class Config:
    seed: int = 0

run = Run.open(Path(sys.argv[1]), "train", "x", Config())
run.finish({"accuracy": 0.5})
run.close()
assert Run.at(run.path).result() == {"accuracy": 0.5}
assert advrush.cli.main(["runs", sys.argv[1]]) == 0
"""


def test_runs_are_written_and_read_where_there_are_no_locks_at_all(tmp_path: Path) -> None:
    found = subprocess.run([sys.executable, "-c", WITHOUT_FCNTL, str(tmp_path)], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    assert "done" in found.stdout
