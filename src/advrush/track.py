"""Metrics loggers beside metrics.jsonl: TensorBoard, Trackio, Weights & Biases."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from advrush.config import check
from advrush.errors import ConfigError


@dataclass(frozen=True)
class Mirror:
    """A metrics logger beside metrics.jsonl: `log(row)` each epoch, `close()` flushes."""

    log: Callable[[Mapping[str, Any]], None]
    close: Callable[[], None] = lambda: None


PROJECT = "advrush"


def tracker(name: str | None) -> Callable[[Path], Mirror | None]:
    """Return what opens a mirror for a run's folder; for None, one that mirrors nothing.

    Raises ConfigError, before anything is computed, for an unknown name or a package that is not installed.
    """
    if name is None:
        return lambda path: None
    known = {"tensorboard": _tensorboard, "trackio": _trackio, "wandb": _wandb}
    check(name in known, "track", name, " or ".join(known))
    try:
        import_module(name)
    except ImportError:
        raise ConfigError(f"track: {name} is not installed; try pip install {name}") from None
    return known[name]


def scalars(row: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield the numbers of a row; those of a nested mapping under `outer/inner`."""
    for key, value in row.items():
        if isinstance(value, Mapping):
            yield from ((f"{key}/{inner}", number) for inner, number in scalars(value))
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield key, float(value)


def _tensorboard(path: Path) -> Mirror:
    """Write event files into the run's folder."""
    from torch.utils.tensorboard import SummaryWriter  # it takes a second to import

    def log(row: Mapping[str, Any]) -> None:
        with SummaryWriter(str(path / "tensorboard")) as writer:
            for key, value in scalars(row):
                if key != "epoch":
                    writer.add_scalar(key, value, global_step=int(row["epoch"]))

    return Mirror(log)


def _trackio(path: Path) -> Mirror:
    """Write to Trackio's local store."""
    trackio = import_module("trackio")
    trackio.init(project=PROJECT, name=path.name, resume="allow", embed=False)
    return Mirror(lambda row: trackio.log(dict(scalars(row)), step=int(row["epoch"])), trackio.finish)


def _wandb(path: Path) -> Mirror:
    """Send to Weights & Biases, or keep it in the run's folder where WANDB_MODE=offline."""
    wandb = import_module("wandb")
    wandb.init(project=PROJECT, name=path.name, id=path.name, dir=str(path), resume="allow")
    return Mirror(lambda row: wandb.log(dict(scalars(row)), step=int(row["epoch"])), wandb.finish)
