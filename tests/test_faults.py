"""The short form of the driver of faults: kills, damaged files and a full disk, a sample of each."""

from __future__ import annotations

import subprocess
import sys
from mmap import mmap
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.skipif(sys.platform != "linux", reason="the driver forks, and watches writes as Linux reports them")
@pytest.mark.timeout(900)
def test_a_sample_of_faults() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults", "--short"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " tried, 0 failed" in done.stdout
    if "skipped:" in done.stdout:
        pytest.skip(next(line for line in done.stdout.splitlines() if "skipped:" in line))


def test_what_is_kept_at_each_step_is_noticed_and_nothing_is() -> None:
    from faults.endurance import Watch, attack_batches

    leak: list[Any] = []
    watch = Watch("leaking")
    for _ in range(40):
        leak.append(mmap(-1, 2**20))  # pages of its own: the allocator would hand out memory that is held already
        leak[-1].write(b"x" * 2**20)
        watch.look()
    assert not watch.flat() and watch.growth()["memory"] > 10 * 2**20
    opened = Watch("files")
    for _ in range(8):
        leak.append(open("/dev/null", "rb"))  # noqa: SIM115
        opened.look()
    assert opened.growth()["files"] == 4
    for held in leak:
        held.close()
    attacked = attack_batches(24)
    assert attacked.flat(), str(attacked)


def test_a_search_holds_no_more_at_its_end_than_in_its_middle(tmp_path: Path) -> None:
    from faults.endurance import search_steps

    watch = search_steps(32, tmp_path)
    assert watch.flat(), str(watch)
    assert len(watch.memory) == 32
