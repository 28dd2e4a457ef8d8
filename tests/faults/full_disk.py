"""A small tmpfs as a full disk: one line, nothing lost, and the same command goes on once there is room."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from faults.child import forked
from faults.kills import Tally
from faults.stages import STAGES, fingerprint, networks

SIZES = (16, 48, 96, 160, 256, 400)
"""Kilobytes of room."""


def cannot(scratch: Path) -> str | None:
    """Return why no small file system can be mounted here, None where one can."""
    place = scratch / "try"
    place.mkdir(parents=True, exist_ok=True)
    if shutil.which("mount") is None:
        return "there is no mount command"
    tried = _mount(place, 64)
    if tried.returncode:
        return f"no file system can be mounted ({tried.stderr.strip() or 'not root'})"
    subprocess.run(["umount", str(place)], check=True)
    return None


def full_disk(scratch: Path, *, stages: tuple[str, ...] = tuple(STAGES), sizes: tuple[int, ...] = SIZES) -> list[Tally]:
    """Run each stage on file systems that fill up, then make room and run it again."""
    tallies = []
    for stage in stages:
        folder, tally = scratch / f"full-{stage}", Tally(f"{stage}: disk full")
        folder.mkdir(parents=True)
        files, output = networks(folder), folder / "output"
        forked(lambda go=STAGES[stage], files=files, folder=folder: go(folder / "sound", files) and None, output)
        expected = fingerprint(folder / "sound")
        for size in sizes:
            place = folder / f"disk-{size}"
            place.mkdir()
            _mount(place, size).check_returncode()
            try:
                tally.tried += 1
                call = lambda go=STAGES[stage], files=files, place=place: go(place / "runs", files) and None  # noqa: E731
                first = forked(call, output)
                if first.status not in (0, 2) or len(first.output.strip().splitlines()) > 3:
                    tally.failures.append(f"{stage} in {size} kB: {first.output[-500:]}")
                subprocess.run(["mount", "-o", "remount,size=64m", str(place)], check=True)
                second = forked(call, output)
                if second.status or fingerprint(place / "runs") != expected:
                    tally.failures.append(f"{stage} after {size} kB: not as undisturbed; {second.output[-500:]}")
            finally:
                subprocess.run(["umount", str(place)], check=True)
        tallies.append(tally)
    return tallies


def _mount(place: Path, kilobytes: int) -> subprocess.CompletedProcess[str]:
    options = f"size={kilobytes}k,mode=755"
    return subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], capture_output=True, text=True)
