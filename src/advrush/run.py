"""A run directory: configuration, metrics, checkpoints, result; resume."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, Self

import safetensors.torch
import torch

from advrush import config as configs
from advrush.atomic_write import append_line, write_atomically
from advrush.environment import environment
from advrush.errors import RunError
from advrush.identity import IDENTITY, difference
from advrush.lock import LOCK, Lock
from advrush.reading import tensors as stored
from advrush.reading.gate import reading, reason
from advrush.reading.tensors_header import with_ordered_metadata
from advrush.reading.text import read_json, read_object, read_rows

LONGEST_NAME = 200
"""Bytes of a run's name: file systems take 255, digests and parts of names are added."""
LAST = "last.pt"
"""The state of an unfinished stage."""


@dataclass
class Run:
    """The directory `runs/<stage>/<name>-<digest>` of one configuration.

    The same configuration opens the same directory: `done` tells a cache hit, `load_state` where to go on.
    """

    path: Path
    found: bool = False
    """Whether the run had finished already when it was opened, so that nothing was computed."""
    _lock: Lock | None = field(default=None, repr=False)

    @classmethod
    def open(
        cls,
        runs_dir: Path,
        stage: str,
        name: str,
        config: Any,
        *,
        writer: bool = True,
        identity: Mapping[str, Any] | None = None,
        data_dir: Path | str | None = None,
    ) -> Self:
        """Create or reopen the directory; `writer` takes its lock (only rank 0 of a job writes).

        `identity` is what the run is of besides its configuration: the checksum of the data, what a model computes,
        an objective of one's own. It is kept in identity.json and compared when the run is opened again. `data_dir` is
        where the data lie now: kept in environment.json as it is given, for what follows on the run.

        Raises RunError if another process is writing there now, or if the run is of something else; ConfigError for a
        name that is no file name.
        """
        visible = bool(name.strip()) and name.isprintable() and len(name.encode()) < LONGEST_NAME
        plain = visible and not name.startswith(".") and not any(mark in name for mark in "/\\")
        expected = f"a file name: visible, no slash, no dot in front, under {LONGEST_NAME} bytes"
        configs.check(plain, "name", name, expected)
        if dataclasses.is_dataclass(config):
            configs.check_numbers(config)
        run = cls(Path(runs_dir) / stage / f"{name}-{configs.digest(config)}")
        if writer:
            run._begin(config, identity or {}, data_dir)
        return run

    def _begin(self, config: Any, identity: Mapping[str, Any], data_dir: Path | str | None) -> None:
        """Create and lock the directory, and write what it is of; a failure leaves no folder behind."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            try:
                self._lock = Lock.acquire(self.path)
            except OSError:  # a finished run in a folder that can only be read is a cache hit all the same
                if not self.done:
                    raise
            if self._lock is not None:
                self._sweep()
            self._compare(identity)
            self.found = self.done
            if not self.found:
                write_atomically(self.path / "config.toml", configs.to_toml(config))
                place = {} if data_dir is None else {"data_dir": str(data_dir)}
                self.write_json("environment.json", environment() | place)
        except OSError as error:
            self.close()
            raise RunError(f"{self.path}: cannot be created ({error.strerror}); choose another --runs-dir") from None
        except BaseException:
            self.close()
            raise

    def _sweep(self) -> None:
        """Remove what a kill in the middle of a write has left; the lock is held, so nobody writes here now."""
        for path in (*self.path.glob(".*.tmp"), *self.path.glob("*/.*.tmp")):
            path.unlink(missing_ok=True)

    def _compare(self, identity: Mapping[str, Any]) -> None:
        """Write identity.json, or raise RunError where the one that is there tells of something else."""
        if (self.path / IDENTITY).is_file():
            differing = difference(self.read_json(IDENTITY), identity)
            if differing is not None:
                raise RunError(
                    f"{self.path}: this run is of {differing}; give the configuration another name, or remove that run"
                )
        elif identity and self._lock is not None:
            self.write_json(IDENTITY, dict(identity))

    @classmethod
    def at(cls, path: Path | str) -> Self:
        """Open an existing run directory for reading; RunError if it is none."""
        configs.check_path("run", path, "the path of a run directory")
        if not (Path(path) / "config.toml").is_file():
            raise RunError(f"{path}: not a run directory (no config.toml in it); `advrush runs` lists the runs")
        return cls(Path(path))

    def __str__(self) -> str:
        return str(self.path)

    def __fspath__(self) -> str:
        """Return the path, so that a run may be given wherever a path is."""
        return str(self.path)

    def close(self) -> None:
        """Release the lock; a run that was refused before it computed anything leaves no folder."""
        if self._lock is None:
            return
        try:
            there = {file.name for file in self.path.iterdir()}
            if there <= {"config.toml", "environment.json", IDENTITY, LOCK}:
                for file in there:
                    (self.path / file).unlink()
                self.path.rmdir()
        except OSError:  # another process came in between, or the folder cannot be written: it stays
            pass
        self._lock.release()
        self._lock = None

    @property
    def stage(self) -> str:
        """Return search, train or evaluate."""
        return self.path.resolve().parent.name

    @property
    def done(self) -> bool:
        """Tell whether the result is there: it is written last."""
        return (self.path / "result.json").is_file()

    def result(self) -> dict[str, Any]:
        """Return the result; RunError if the run has not finished."""
        if not self.done:
            raise RunError(f"{self.path}: not finished; run the same command again to go on")
        return read_object(self.path / "result.json")

    def finish(self, result: Mapping[str, Any]) -> None:
        """Write the result; from now on the run is a cache hit."""
        self.write_json("result.json", result)

    def metrics(self) -> list[dict[str, Any]]:
        """Return the rows of metrics.jsonl; a last line cut by a kill is left out. Raises RunError for other damage."""
        path = self.path / "metrics.jsonl"
        rows = read_rows(path)
        for row in rows:
            if not isinstance(row.get("epoch"), int):
                raise RunError(f"{path}: a row without a number of its epoch; delete the run to begin anew")
        return rows

    def check_metrics(self, epochs: int, keys: Iterable[str]) -> None:
        """Raise RunError unless metrics.jsonl tells these values of each of the epochs that the state is behind."""
        told = [row["epoch"] for row in self.metrics() if all(key in row for key in keys)]
        if told != list(range(epochs)):
            raise RunError(
                f"{self.path / 'metrics.jsonl'}: tells {len(told)} of the {epochs} epochs that {LAST} is of: damaged; "
                "delete both to begin the run anew"
            )

    def log(self, row: Mapping[str, Any]) -> None:
        """Append one epoch's row."""
        append_line(self.path / "metrics.jsonl", json.dumps(dict(row)))

    def save_state(self, state: Mapping[str, Any], name: str = LAST) -> None:
        """Write last.pt (or `name`) atomically; `state["epoch"]` is the epoch to do next."""
        buffer = BytesIO()
        torch.save(dict(state), buffer)
        write_atomically(self.path / name, buffer.getvalue())

    def load_state(self, name: str = LAST, *, writer: bool = True) -> dict[str, Any] | None:
        """Return what `save_state` wrote, or None; drop rows of epochs that will be done again.

        Raises RunError, naming the file, where it is damaged.
        """
        path = self.path / name
        if not path.is_file():
            rows, state = [], None
        else:
            with reading(path, "the state of a run"):
                try:
                    state = stored.load_pickled(path, checked=True)
                    epoch = int(state["epoch"])
                except Exception as error:
                    why = stored.culprit(error) or reason(error)
                    raise RunError(f"{path}: cannot be read ({why}); delete it to begin the run anew") from None
            rows = [row for row in self.metrics() if row["epoch"] < epoch]
        if writer and (self.path / "metrics.jsonl").exists():
            write_atomically(self.path / "metrics.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
        return state

    def save_tensors(
        self, name: str, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str] | None = None
    ) -> None:
        """Write a safetensors file atomically."""
        plain = {key: tensor.detach().cpu().contiguous().clone() for key, tensor in tensors.items()}
        write_atomically(
            self.path / name, with_ordered_metadata(safetensors.torch.save(plain, metadata=dict(metadata or {})))
        )

    def load_tensors(self, name: str) -> dict[str, torch.Tensor]:
        """Read a safetensors file of this run. Raises RunError, naming the file, where it is absent or damaged."""
        return stored.read_tensors(self.path / name)

    def write_json(self, name: str, value: Any) -> None:
        """Write a JSON file atomically."""
        write_atomically(self.path / name, json.dumps(value, indent=2) + "\n")

    def read_json(self, name: str) -> Any:
        """Read a JSON file of this run. Raises RunError, naming the file, where it cannot be read as JSON."""
        return read_json(self.path / name)
