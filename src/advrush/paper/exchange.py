"""Runs kept as archives at a URL, where nodes exchange them that see no common folder.

Any file system that fsspec knows will do: s3://, gs://, az://, sftp://, file://. A job's archive is named by its key.
An archive is written under a name of its own, and only then the small file that points to it, so that whoever follows
the pointer finds a whole archive, whenever the writer was stopped.
"""

from __future__ import annotations

import contextlib
import io
import json
import tarfile
import threading
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from advrush.errors import ConfigError, RunError
from advrush.lock import LOCK
from advrush.reading.gate import reason

EVERY = 20.0
"""Seconds between two looks at an unfinished run that changes: what a lost node loses at most."""
FINISHED, UNFINISHED = "finished", "unfinished"


@dataclass
class Exchange:
    """A folder at a URL with finished and unfinished runs, by the keys of their jobs."""

    url: str
    _fs: Any = field(default=None, repr=False)
    _root: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        """Raise ConfigError where the URL is of an unknown kind, or what speaks to it is not installed."""
        try:
            import fsspec

            self._fs, self._root = fsspec.url_to_fs(self.url, skip_instance_cache=True)
        except (ImportError, ValueError) as error:
            raise ConfigError(
                f"cluster_store: got {self.url!r}: {reason(error)}; expected a URL that fsspec knows, as s3://bucket/runs"
            ) from None

    def check(self) -> None:
        """Raise ConfigError where nothing can be written there."""
        place = f"{self._root}/{UNFINISHED}/try-{uuid.uuid4().hex}"
        try:
            self._fs.makedirs(f"{self._root}/{UNFINISHED}", exist_ok=True)
            self._fs.makedirs(f"{self._root}/{FINISHED}", exist_ok=True)
            self._fs.pipe_file(place, b"")
            self._fs.rm_file(place)
        except Exception as error:  # each file system has errors of its own
            raise ConfigError(f"cluster_store: cannot write to {self.url!r} ({reason(error)})") from None

    def entry(self, key: str, kind: str = FINISHED) -> dict[str, Any] | None:
        """Return what was noted of a job's archive: at least `run`, its place in a store; None where there is none."""
        try:
            found = json.loads(self._fs.cat_file(self._pointer(key, kind)))
        except FileNotFoundError:
            return None
        if not isinstance(found, dict) or not isinstance(found.get("run"), str) or not isinstance(found.get("of"), str):
            raise RunError(f"{self.url}/{kind}/{key}.json: not the note of a run; remove it to run the job anew")
        return found

    def put(self, key: str, runs_dir: Path, entry: Mapping[str, Any], kind: str = FINISHED) -> None:
        """Write the run at `entry["run"]` in `runs_dir` as an archive, and point to it."""
        earlier = self.entry(key, kind)
        name = f"{key}-{uuid.uuid4().hex}.tar"
        self._fs.pipe_file(f"{self._root}/{kind}/{name}", _packed(runs_dir, str(entry["run"])))
        note = json.dumps({**entry, "of": name}).encode()
        self._fs.pipe_file(self._pointer(key, kind), note)
        if earlier is not None:
            self._remove(f"{self._root}/{kind}/{earlier['of']}")

    def get(self, key: str, runs_dir: Path, kind: str = FINISHED) -> dict[str, Any] | None:
        """Unpack a job's archive into `runs_dir`; return its note, None where there is none."""
        for _ in range(3):  # a writer may replace the archive between the two reads
            entry = self.entry(key, kind)
            if entry is None:
                return None
            try:
                archive = self._fs.cat_file(f"{self._root}/{kind}/{entry['of']}")
            except FileNotFoundError:
                continue
            _unpack(archive, runs_dir, f"{self.url}/{kind}/{entry['of']}")
            return {name: value for name, value in entry.items() if name != "of"}
        raise RunError(f"{self.url}/{kind}/{key}.json: points to an archive that is not there; remove it")

    def drop(self, key: str, kind: str = UNFINISHED) -> None:
        """Remove a job's archive, if there is one."""
        if (entry := self.entry(key, kind)) is not None:
            self._remove(self._pointer(key, kind))
            self._remove(f"{self._root}/{kind}/{entry['of']}")

    def _pointer(self, key: str, kind: str) -> str:
        return f"{self._root}/{kind}/{key}.json"

    def _remove(self, path: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._fs.rm_file(path)


@contextlib.contextmanager
def kept_up(exchange: Exchange, key: str, runs_dir: Path, known: set[str], *, every: float = EVERY) -> Iterator[None]:
    """Keep the unfinished archive of a job up to date while it runs: the one run that is not among the `known` places.

    A failure to write is not the job's: the next look tries again.
    """
    ended = threading.Event()

    def watch() -> None:
        seen: dict[str, float] = {}
        while not ended.wait(every):
            with contextlib.suppress(Exception):
                for place in sorted(places(runs_dir) - known):
                    changed = max((file.stat().st_mtime for file in (runs_dir / place).glob("*")), default=0.0)
                    if seen.get(place) != changed:
                        exchange.put(key, runs_dir, {"run": place}, UNFINISHED)
                        seen[place] = changed

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def places(runs_dir: Path) -> set[str]:
    """Return the places of all runs in a folder, as `train/NAME-DIGEST`."""
    return {str(path.parent.relative_to(runs_dir)) for path in runs_dir.glob("*/*/config.toml")}


def _packed(runs_dir: Path, place: str) -> bytes:
    """Return a run directory as an archive, states before what a state must not be ahead of: a run logs, then saves."""
    folder, buffer = runs_dir / place, io.BytesIO()
    if not folder.is_dir():
        raise RunError(f"{folder}: not a run directory, so that it cannot be handed on")
    files = [file for file in folder.rglob("*") if file.is_file() and file.name != LOCK and file.suffix != ".tmp"]
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for file in sorted(files, key=lambda file: (file.suffix != ".pt", file)):
            with contextlib.suppress(FileNotFoundError):  # replaced or removed while the run goes on
                content = file.read_bytes()
                about = tarfile.TarInfo(str(Path(place) / file.relative_to(folder)))
                about.size = len(content)
                archive.addfile(about, io.BytesIO(content))
    return buffer.getvalue()


def _unpack(content: bytes, runs_dir: Path, where: str) -> None:
    try:
        runs_dir.mkdir(parents=True, exist_ok=True)
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            archive.extractall(runs_dir, filter="data")
    except (tarfile.TarError, OSError) as error:
        raise RunError(f"{where}: cannot be unpacked ({reason(error)}); remove it to run the job anew") from None
