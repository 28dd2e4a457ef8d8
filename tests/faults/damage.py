"""Flipped bytes, cuts and overwritten stretches of every file of a run directory and of the cache."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from advrush.cli import main
from advrush.data import load_dataset
from faults.child import forked
from faults.kills import Tally
from faults.stages import STAGES, fingerprint, networks


def damaged(content: bytes, draw: random.Random) -> tuple[str, bytes]:
    """Return what was done to a file, and its content then."""
    kind = draw.choice(("bit", "cut", "stretch", "text", "empty"))
    place = draw.randrange(len(content)) if content else 0
    if kind == "bit" and content:
        return f"bit at {place}", content[:place] + bytes([content[place] ^ 1 << draw.randrange(8)]) + content[
            place + 1 :
        ]
    if kind == "cut":
        return f"cut at {place}", content[:place]
    if kind == "stretch":
        noise = draw.randbytes(draw.randrange(1, 64))
        return f"{len(noise)} bytes at {place}", content[:place] + noise + content[place + len(noise) :]
    if kind == "text":
        return "other text", draw.choice((b"[" * 5000, b"\xff\xfe", b"null", b'{"a": ' + b"9" * 5000 + b"}", b"{}"))
    return "empty", b""


def looks(run: Path, stage: str) -> Iterator[Callable[[], object]]:
    """Yield the calls that read a run directory."""
    yield lambda: main(["show", str(run)])
    yield lambda: main(["runs", str(run.parent.parent)])
    yield lambda: main(["report", str(run), "--out", str(run.parent / "page.html")])
    if stage == "train":
        yield lambda: main(["export", str(run), "--out", str(run.parent / "copy.pt2")])


def run_directories(scratch: Path, *, each: int, seed: int, files_of: int | None = None) -> list[Tally]:
    """Damage every file of a finished run of each stage `each` times, then look at it and run it again.

    `files_of` takes that many files of each stage in place of all, and looks at them with one verb.
    """
    draw, tallies = random.Random(seed), []
    for stage, go in STAGES.items():
        folder = scratch / f"damage-{stage}"
        folder.mkdir(parents=True)
        files, output = networks(folder), folder / "output"
        forked(partial(go, folder / "runs", files), output)
        expected = fingerprint(folder / "runs")
        tally = Tally(f"{stage}: a file of the run damaged")
        paths = [
            p.relative_to(folder / "runs") for p in (folder / "runs").rglob("*") if p.is_file() and p.name != ".lock"
        ]
        for path in paths if files_of is None else draw.sample(paths, min(files_of, len(paths))):
            for _ in range(each):
                copy = folder / "copy"
                shutil.copytree(folder / "runs", copy)
                what, content = damaged((copy / path).read_bytes(), draw)
                unfinished = draw.random() < 0.5 and path.name != "result.json"
                if unfinished:
                    for result in copy.rglob("result.json"):
                        result.unlink()
                (copy / path).write_bytes(content)
                tally.tried += 1
                run = next(p.parent for p in sorted(copy.rglob("config.toml")))
                calls = (
                    [*looks(run, stage), partial(go, copy, files)]
                    if stage != "transfer"
                    else [partial(go, copy, files)]
                )
                calls = calls if files_of is None else [calls[0], calls[-1]]
                outcomes = [forked(call, output) for call in calls]
                tally.failures += [f"{path} {what}: {o.output[-400:]}" for o in outcomes if o.escaped]
                again = fingerprint(copy) if unfinished and outcomes[-1].status == 0 else expected
                odd = [name for name in expected if name != str(path) and again.get(name) != expected[name]]
                if odd:  # a damaged file may stay as it is, but nothing else may come of it
                    tally.failures.append(f"{path} {what}: another {odd[0]}")
                shutil.rmtree(copy)
        tallies.append(tally)
        tally.show()
    return tallies


def cache(scratch: Path, *, count: int, seed: int, make: Callable[[Path], Path]) -> Tally:
    """Damage the cached data set; what is loaded then is what was decoded."""
    draw, tally = random.Random(seed), Tally("cache: damaged")
    folder = scratch / "cached"
    folder.mkdir(parents=True)
    source = make(folder / "source")
    sound = load_dataset("own", data_dir=source, cache_dir=folder / "cache").checksum
    (kept,) = (folder / "cache").iterdir()
    whole = kept.read_bytes()
    for _ in range(count):
        what, content = damaged(whole, draw)
        kept.write_bytes(content)
        tally.tried += 1

        def load() -> int:
            return 0 if load_dataset("own", data_dir=source, cache_dir=folder / "cache").checksum == sound else 4

        outcome = forked(load, folder / "output")
        if outcome.status != 0:
            tally.failures.append(f"{what}: {outcome.output[-300:]}")
    return tally
