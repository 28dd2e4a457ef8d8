"""Run directories as the report reads them: plain values, never a model."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file

from advrush.errors import AdvrushError, RunError
from advrush.reading.gate import reading
from advrush.reading.text import printable, read_object, read_toml
from advrush.run import Run
from advrush.space import SPACES, Architecture, Space

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Record:
    """A run directory as values: configuration, environment, metrics, result (None until it is done)."""

    path: Path
    stage: str
    name: str
    digest: str
    config: Mapping[str, Any] = field(repr=False)
    environment: Mapping[str, Any] = field(repr=False)
    rows: tuple[Mapping[str, Any], ...] = field(repr=False)
    result: Mapping[str, Any] | None = field(repr=False)

    @classmethod
    def read(cls, path: Path | str) -> Record:
        """Read a run directory, finished or not. Raises RunError if it is none or a file of it is damaged."""
        run = Run.at(Path(path))
        environment = run.path / "environment.json"
        try:
            config = read_toml(run.path / "config.toml")
            about = read_object(environment) if environment.is_file() else {}
            result = run.result() if run.done else None
            rows = run.metrics()
        except RunError as error:
            raise RunError(f"damaged run directory: {error}") from None
        name, _, digest = run.path.resolve().name.rpartition("-")
        config, about, rows, result = (printable(part) for part in (config, about, rows, result))
        return cls(run.path, run.stage, name, digest, config, about, tuple(rows), result)

    @property
    def label(self) -> str:
        """Return stage and directory name, as `train/small-0a1b2c3d`."""
        return f"{self.stage}/{self.path.resolve().name}"

    @property
    def kind(self) -> str:
        """Return the stage; of a finished analysis with what was analyzed, `analyze/curvature`."""
        what = (self.result or {}).get("what")
        return f"{self.stage}/{what}" if self.stage == "analyze" and what else self.stage

    @property
    def epochs(self) -> int | None:
        """Return how many epochs the run is to have (None where it has none)."""
        value = self.config.get("epochs")
        return value if isinstance(value, int) else None

    @property
    def seconds(self) -> float:
        """Return the time that the run has taken so far."""
        if self.result and "seconds" in self.result:
            return float(self.result["seconds"])
        attacks = (self.result or {}).get("attacks", ())
        return float(sum(row.get("seconds") or 0.0 for row in (*self.rows, *attacks)))

    @property
    def space(self) -> Space | None:
        """Return the search space of a search."""
        return SPACES.get(str(self.config.get("space", "")))

    def genotype(self) -> Architecture | None:
        """Return the architecture that a search found, or its last epoch's; None if the run has none."""
        found = (self.result or {}).get("genotype") or (self.rows[-1].get("genotype") if self.rows else None)
        return self._architecture(found)

    def architectures_by_epoch(self) -> dict[int, Architecture]:
        """Return the architecture that a search had after each epoch, by the number of the epoch from 0."""
        found = {int(row["epoch"]): self._architecture(row.get("genotype")) for row in self.rows}
        return {epoch: each for epoch, each in found.items() if each is not None}

    def _architecture(self, found: Any) -> Architecture | None:
        if found is None or self.space is None:
            return None
        try:
            return self.space.parse(json.dumps(found))
        except AdvrushError as error:
            raise RunError(f"{self.path}: {error}") from None

    def alphas(self) -> dict[str, Array] | None:
        """Return the last epoch's raw alphas (edges, primitives) by cell kind."""
        files = sorted((self.path / "alphas").glob("epoch-*.safetensors"))
        return self.tensors(f"alphas/{files[-1].name}") if files else None

    def weights_by_epoch(self) -> dict[str, list[Array]]:
        """Return softmax(alpha) (edges, primitives) after each epoch, by cell kind."""
        found: dict[str, list[Array]] = {}
        for path in sorted((self.path / "alphas").glob("epoch-*.safetensors")):
            for kind, alpha in (self.tensors(f"alphas/{path.name}") or {}).items():
                found.setdefault(kind, []).append(softmax(np.asarray(alpha, dtype=np.float64)))
        return found

    def tensors(self, name: str) -> dict[str, Array] | None:
        """Return the arrays of a safetensors file, None if it is not there. Raises RunError if it is damaged."""
        path = self.path / name
        if not path.is_file():
            return None
        with reading(path, "a safetensors file of plain arrays"):
            return load_file(path)


def find_records(runs_dir: Path | str) -> list[Record]:
    """Read every run under a folder at any depth, by stage, evaluated network and name; damaged ones are left out."""
    order = {"search": 0, "train": 1, "evaluate": 2}
    records = []
    for config in sorted(Path(runs_dir).rglob("config.toml")):
        folder = config.parent.resolve()
        if folder.parent.name not in order and not re.search("-[0-9a-f]{8}$", folder.name):  # of no run
            continue
        try:
            records.append(Record.read(config.parent))
        except AdvrushError:
            continue

    def place(record: Record) -> tuple[int, str, str, str]:
        model = str((record.result or record.config).get("model", ""))
        return order.get(record.stage, 9), record.stage, model, record.path.name

    return sorted(records, key=place)


def softmax(array: Array) -> Array:
    """Return the softmax over the last axis."""
    shifted = np.exp(array - array.max(axis=-1, keepdims=True))
    weights: Array = shifted / shifted.sum(axis=-1, keepdims=True)
    return weights
