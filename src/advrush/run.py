"""A run directory: configuration, metrics, checkpoints, result; atomic writes; resume."""

from __future__ import annotations

import fcntl
import json
import os
import platform
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import IO, Any, Self

import safetensors
import safetensors.torch
import torch

from advrush import config as configs
from advrush.errors import RunError

LAST = "last.pt"
"""The state of an unfinished stage."""


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write a file so that a kill at any instant leaves either the old content or the new one."""
    data = content.encode() if isinstance(content, str) else content
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


@dataclass
class Run:
    """The directory `runs/<stage>/<name>-<digest>` of one configuration.

    The same configuration opens the same directory: `done` tells a cache hit, `load_state` where to go on.
    """

    path: Path
    _lock: IO[str] | None = field(default=None, repr=False)

    @classmethod
    def open(cls, runs_dir: Path, stage: str, name: str, config: Any, *, writer: bool = True) -> Self:
        """Create or reopen the directory; `writer` takes its lock (only rank 0 of a job writes).

        Raises RunError if another process is writing there now.
        """
        run = cls(Path(runs_dir) / stage / f"{name}-{configs.digest(config)}")
        if writer:
            try:
                run.path.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise RunError(f"{run.path}: cannot be created ({error.strerror}); choose another --runs-dir") from None
            run._acquire()
            if not run.done:
                write_atomically(run.path / "config.toml", configs.to_toml(config))
                run.write_json("environment.json", environment())
        return run

    @classmethod
    def at(cls, path: Path) -> Self:
        """Open an existing run directory for reading; RunError if it is none."""
        if not (Path(path) / "config.toml").is_file():
            raise RunError(f"{path}: not a run directory (no config.toml in it); `advrush runs` lists the runs")
        return cls(Path(path))

    def close(self) -> None:
        """Release the lock."""
        if self._lock is not None:
            self._lock.close()
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
        found: dict[str, Any] = self.read_json("result.json")
        return found

    def finish(self, result: Mapping[str, Any]) -> None:
        """Write the result; from now on the run is a cache hit."""
        self.write_json("result.json", result)

    def metrics(self) -> list[dict[str, Any]]:
        """Return the rows of metrics.jsonl; a last line cut by a kill is left out."""
        path = self.path / "metrics.jsonl"
        rows = []
        for line in path.read_text().splitlines() if path.exists() else []:
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError:
                break
        return rows

    def log(self, row: Mapping[str, Any]) -> None:
        """Append one epoch's row."""
        with (self.path / "metrics.jsonl").open("a") as file:
            file.write(json.dumps(dict(row)) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def save_state(self, state: Mapping[str, Any], name: str = LAST) -> None:
        """Write last.pt (or `name`) atomically; `state["epoch"]` is the epoch to do next."""
        buffer = BytesIO()
        torch.save(dict(state), buffer)
        write_atomically(self.path / name, buffer.getvalue())

    def load_state(self, name: str = LAST, *, writer: bool = True) -> dict[str, Any] | None:
        """Return what `save_state` wrote, or None; drop rows of epochs that will be done again."""
        path = self.path / name
        if not path.is_file():
            rows, state = [], None
        else:
            try:
                state = torch.load(path, map_location="cpu", weights_only=True)
            except Exception as error:
                raise RunError(f"{path}: cannot be read ({error}); delete it to begin the run anew") from None
            rows = [row for row in self.metrics() if row["epoch"] < state["epoch"]]
        if writer and (self.path / "metrics.jsonl").exists():
            write_atomically(self.path / "metrics.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
        return state

    def save_tensors(
        self, name: str, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str] | None = None
    ) -> None:
        """Write a safetensors file atomically."""
        plain = {key: tensor.detach().cpu().contiguous().clone() for key, tensor in tensors.items()}
        write_atomically(self.path / name, safetensors.torch.save(plain, metadata=dict(metadata or {})))

    def load_tensors(self, name: str) -> dict[str, torch.Tensor]:
        """Read a safetensors file of this run."""
        return safetensors.torch.load_file(self.path / name)

    def load_metadata(self, name: str) -> dict[str, str]:
        """Read the metadata of a safetensors file of this run."""
        with safetensors.safe_open(self.path / name, framework="pt") as file:
            return dict(file.metadata() or {})

    def write_json(self, name: str, value: Any) -> None:
        """Write a JSON file atomically."""
        write_atomically(self.path / name, json.dumps(value, indent=2) + "\n")

    def read_json(self, name: str) -> Any:
        """Read a JSON file of this run."""
        return json.loads((self.path / name).read_text())

    def _acquire(self) -> None:
        lock = (self.path / ".lock").open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            raise RunError(f"{self.path}: another process is working on this run; wait for it or stop it") from None
        self._lock = lock


@contextmanager
def memory_advice(field: str, value: int) -> Iterator[None]:
    """Turn running out of memory into a RunError that says which value of `field` to try."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        # the CPU's allocator raises a plain RuntimeError with these words
        if not isinstance(error, torch.OutOfMemoryError | MemoryError) and "can't allocate memory" not in str(error):
            raise
        raise RunError(
            f"out of memory at {field} {value}; try {field} {max(1, value // 2)}. What was finished is kept: "
            "a smaller batch is another configuration and begins anew"
        ) from None


def environment() -> dict[str, Any]:
    """Describe software and hardware, without names of the machine or its user."""
    return {
        "advrush": version("advrush"),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "platform": f"{platform.system()} {platform.machine()}",
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "world": int(os.environ.get("WORLD_SIZE", "1")),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
    }
