"""Kills at every write and at random: the same command then gives what an undisturbed run gives."""

from __future__ import annotations

import random
import shutil
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

from faults.child import Outcome, forked
from faults.stages import STAGES, fingerprint, networks

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)


@dataclass
class Tally:
    """What was tried of one kind, and what went wrong."""

    name: str
    tried: int = 0
    failures: list[str] = field(default_factory=list)
    note: str = ""

    def show(self) -> None:
        """Print a line."""
        print(f"{self.name:40} {self.tried:6} tried {len(self.failures):4} failed  {self.note}", flush=True)


class Killer:
    """One stage in a scratch folder, and what it gives undisturbed."""

    def __init__(self, stage: str, scratch: Path) -> None:
        self.stage, self.scratch = stage, scratch / stage
        self.scratch.mkdir(parents=True)
        self.files = networks(self.scratch)
        self.output = self.scratch / "output"
        started = time.monotonic()
        outcome = self.go("undisturbed", at=-1)
        self.seconds = time.monotonic() - started
        if outcome.status != 0:
            raise RuntimeError(f"{stage} does not run undisturbed:\n{outcome.output}")
        self.writes = outcome.output.count("write\n")
        self.expected = fingerprint(self.scratch / "undisturbed")

    def go(self, name: str, *, at: int = 0, after: float | None = None, by: signal.Signals = signal.SIGKILL) -> Outcome:
        """Run the stage in the folder of runs `name`, perhaps up to a kill."""
        runs = self.scratch / name
        return forked(
            lambda: STAGES[self.stage](runs, self.files) and None, self.output, folder=runs if at else None, at=at,
            after=after, by=by,
        )  # fmt: skip

    def resumed(self, name: str, what: str, tally: Tally) -> None:
        """Run the stage to its end and note where the result is not the undisturbed one."""
        tally.tried += 1
        outcome = self.go(name)
        found = fingerprint(self.scratch / name) if outcome.status == 0 else {}
        if found != self.expected:
            odd = sorted(key for key in {**found, **self.expected} if found.get(key) != self.expected.get(key))
            tally.failures.append(f"{self.stage} {what}: differs in {odd[:4]}; {outcome.output[-300:]}")
        shutil.rmtree(self.scratch / name, ignore_errors=True)

    def at_writes(self, places: list[int], tally: Tally) -> None:
        """Kill before each of these writes, then run to the end."""
        for place in places:
            outcome = self.go("killed", at=place)
            if outcome.signal != signal.SIGKILL:
                tally.failures.append(f"{self.stage}: no write {place}: {outcome.output[-300:]}")
            self.resumed("killed", f"killed at write {place}", tally)

    def at_random(self, count: int, draw: random.Random, tally: Tally) -> None:
        """Kill after a random time with one of three signals, perhaps the resumed process too, then run to the end."""
        for _ in range(count):
            by = draw.choice(SIGNALS)
            for _ in range(draw.choice((1, 1, 2))):
                outcome = self.go("random", after=draw.random() * self.seconds, by=by)
                if outcome.escaped:
                    tally.failures.append(f"{self.stage}: {by.name}: {outcome.output[-400:]}")
            self.resumed("random", f"{by.name} at random", tally)


def kills(scratch: Path, *, writes: int | None, at_random: int, seed: int) -> list[Tally]:
    """Kill every stage at `writes` of its writes (None: at each one) and `at_random` times at random in all."""
    draw = random.Random(seed)
    tallies = []
    for stage in STAGES:
        killer = Killer(stage, scratch)
        there = list(range(1, killer.writes + 1))
        tally = Tally(f"{stage}: killed at a write", note=f"{killer.writes} writes")
        killer.at_writes(there if writes is None else sorted(draw.sample(there, min(writes, len(there)))), tally)
        chance = Tally(f"{stage}: killed at random")
        killer.at_random(at_random // len(STAGES), draw, chance)
        tallies += [tally, chance]
        tally.show()
        chance.show()
    return tallies
