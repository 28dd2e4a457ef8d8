"""Command line of the driver: what was tried, in a table; exit status 1 where something went wrong."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: threads do not live through a fork
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch
from PIL import Image

from faults import damage, full_disk
from faults.kills import Tally, kills
from faults.stages import warm_up


def images(folder: Path) -> Path:
    """Write a small data set of one's own."""
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        (folder / name).mkdir(parents=True)
        for i in range(10):
            Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(folder / name / f"{i}.png")
    return folder


def main() -> int:
    """Run what the options ask for."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--kills", type=int, default=200, help="kills at random, besides one at every write")
    parser.add_argument("--writes", type=int, help="writes of each stage at which to kill; every one unless given")
    parser.add_argument("--flips", type=int, default=20, help="damages of each file of a run directory")
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn")
    parser.add_argument("--short", action="store_true", help="a sample of each kind: seconds")
    options = parser.parse_args()
    torch.set_num_threads(1)
    short = options.short
    with tempfile.TemporaryDirectory(prefix="faults-") as name:
        scratch = Path(name)
        os.environ["ADVRUSH_CACHE"] = str(scratch / "cache")
        warm_up(scratch / "warm")
        found = kills(
            scratch / "kills",
            writes=2 if short else options.writes,
            at_random=4 if short else options.kills,
            seed=options.seed,
        )
        new = damage.run_directories(
            scratch / "damage", each=1 if short else options.flips, seed=options.seed, files_of=2 if short else None
        )
        new.append(damage.cache(scratch, count=10 if short else 10 * options.flips, seed=options.seed, make=images))
        new[-1].show()
        why = full_disk.cannot(scratch)
        disk = full_disk.full_disk(
            scratch / "disk", **({"stages": ("train",), "sizes": (48,)} if short else {})
        ) if why is None else [Tally("disk full", note=f"skipped: {why}")]  # fmt: skip
        for tally in disk:
            tally.show()
    failures = [failure for tally in (*found, *new, *disk) for failure in tally.failures]
    print(f"{sum(tally.tried for tally in (*found, *new, *disk))} tried, {len(failures)} failed")
    for failure in failures[:40]:
        print(f"\nFAILED {failure}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
