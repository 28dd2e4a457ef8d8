"""Memory, open files and threads over long runs: `python -m tests.faults.endurance --steps 2000 --batches 200`.

Each quantity is read after every step (every batch of an attack) and compared between the second quarter of the run and
its last: what is kept by mistake at each step grows in between.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from advrush import config as configs
from advrush.attacks import parse_attacks, threat_model
from advrush.evaluation import measure
from advrush.models.weights.saved import Blueprint
from advrush.searching import SearchConfig, search
from advrush.searching.monitor import Monitor

PAGE = os.sysconf("SC_PAGE_SIZE")
MEMORY = 4 * 2**20
"""Bytes by which a process may grow without being called a leak: the allocator's own pieces."""


@dataclass
class Watch:
    """What a process held after each step."""

    name: str
    memory: list[int] = field(default_factory=list)
    files: list[int] = field(default_factory=list)
    threads: list[int] = field(default_factory=list)

    def look(self, *_: Any) -> None:
        """Read the memory, open files and threads of this process, as Linux tells them."""
        self.memory.append(int(Path("/proc/self/statm").read_text().split()[1]) * PAGE)
        self.files.append(len(os.listdir("/proc/self/fd")))
        self.threads.append(len(os.listdir("/proc/self/task")))

    def growth(self) -> dict[str, float]:
        """Return by how much each grew from the second quarter to the last: bytes, files, threads."""
        quarter = len(self.memory) // 4
        kinds = {"memory": self.memory, "files": self.files, "threads": self.threads}
        return {name: median(row[-quarter:]) - median(row[quarter : 2 * quarter]) for name, row in kinds.items()}

    def flat(self) -> bool:
        """Return whether nothing grew."""
        growth = self.growth()
        return growth["memory"] <= MEMORY and growth["files"] <= 0 and growth["threads"] <= 0

    def __str__(self) -> str:
        growth = self.growth()
        return (
            f"{self.name}: {len(self.memory)} readings, {self.memory[-1] / 2**20:.0f} MiB, grew by "
            f"{growth['memory'] / 2**20:+.2f} MiB, {growth['files']:+.0f} files, {growth['threads']:+.0f} threads"
        )


def watched(call: Callable[[], Any], place: Any, name: str, watch: Watch) -> None:
    """Call something while the method `name` of `place` is looked after, each time that it is called."""
    own = getattr(place, name)

    def looked(*given: Any, **options: Any) -> Any:
        found = own(*given, **options)
        watch.look()
        return found

    setattr(place, name, looked)
    try:
        call()
    finally:
        setattr(place, name, own)


def search_steps(steps: int, folder: Path) -> Watch:
    """Search for so many steps, the second half of them with L_lambda."""
    epochs = max(4, steps // 125)
    images = 8 * -(-steps // epochs)
    plain = {
        "space": "nasbench201", "channels": 2, "layers": 3, "epochs": epochs, "warmup_epochs": epochs // 5,
        "batch_size": 4, "data": {"dataset": "digits", "train_examples": images},
    }  # fmt: skip
    watch = Watch(f"search, {epochs} epochs")
    config = configs.from_dict(SearchConfig, plain)
    watched(lambda: search(config, runs_dir=folder, display=False), Monitor, "add", watch)
    return watch


def attack_batches(batches: int) -> Watch:
    """Attack so many batches with PGD."""
    torch.manual_seed(0)
    model = Blueprint("resnet18", 10, 8, 1, channels=2).build().eval()
    x = torch.rand(2 * batches, 1, 8, 8)
    with torch.no_grad():
        y = model(x).argmax(1)
    attacks = parse_attacks("pgd5", threat_model("Linf", 0.05), seed=0)
    watch = Watch("attacks")
    measure(model, x, y, attacks=attacks, batch_size=2, on_batch=watch.look)
    return watch


def main() -> int:
    """Run both and print what grew; exit status 1 where something did."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.endurance")
    parser.add_argument("--steps", type=int, default=2000, help="steps of a search")
    parser.add_argument("--batches", type=int, default=200, help="batches of an attack")
    options = parser.parse_args()
    torch.set_num_threads(1)
    flat = True
    with tempfile.TemporaryDirectory(prefix="endurance-") as folder:
        for watch in (attack_batches(options.batches), search_steps(options.steps, Path(folder))):
            print(watch, flush=True)
            flat &= watch.flat()
    return 0 if flat else 1


if __name__ == "__main__":
    sys.exit(main())
