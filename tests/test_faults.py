"""The short form of the driver of faults: kills, damaged files and a full disk, a sample of each."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

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
