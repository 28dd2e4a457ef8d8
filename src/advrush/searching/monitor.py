"""Metrics of a search epoch: losses, curvature, entropy of alpha, the genotype so far."""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import Tensor

from advrush.models.supernet import Supernet
from advrush.parallel import Parallel
from advrush.progress import seconds_text
from advrush.searching.objectives import AlphaStep
from advrush.space import CellGraph
from advrush.space.genotype import is_collapsed


class Monitor:
    """Sums of one epoch, kept on the device so that no step waits for the host."""

    def __init__(self, supernet: Supernet) -> None:
        self.supernet = supernet
        self.started = time.monotonic()
        self.sums: dict[str, Tensor] = {}
        self.steps = 0
        self.curvature_steps = 0

    def add(self, alpha_step: AlphaStep, loss: Tensor, accuracy: Tensor) -> None:
        """Add one step's scalars."""
        self.steps += 1
        values = {
            "loss_train": loss,
            "acc_train": accuracy,
            "loss_val": alpha_step.loss,
            "acc_val": alpha_step.accuracy,
        }
        if alpha_step.curvature is not None:
            self.curvature_steps += 1
            values["curvature"] = alpha_step.curvature
        for name, value in values.items():
            value = value.to(torch.float64)
            self.sums[name] = self.sums[name] + value if name in self.sums else value

    def finite(self) -> bool:
        """Tell whether every sum is finite (this waits for the device)."""
        return all(bool(torch.isfinite(value)) for value in self.sums.values())

    def row(self, epoch: int, phase: str, lr: float, processes: Parallel) -> dict[str, Any]:
        """Return the epoch's line for metrics.jsonl; the means are over all processes."""
        processes.average_(self.sums.values())
        mean = {name: value.item() / self.steps for name, value in self.sums.items() if name != "curvature"}
        curvature = self.sums["curvature"].item() / self.curvature_steps if self.curvature_steps else None
        genotype = self.supernet.genotype()
        return {
            "epoch": epoch,
            "phase": phase,
            "lr": lr,
            **mean,
            "curvature": curvature,
            "alpha_entropy": self.supernet.entropies(),
            "skips": {kind: graph.skips for kind, graph in genotype.cells().items()},
            "edges": {kind: len(graph.edges) for kind, graph in genotype.cells().items()},
            "shares": {kind: shares(graph) for kind, graph in genotype.cells().items()},
            "genotype": genotype.to_dict(),
            "seconds": round(time.monotonic() - self.started, 3),
        }


def shares(graph: CellGraph) -> dict[str, float]:
    """Return the shares of a cell's edges that hold a skip connection, a pool, `none`: what searches collapse to."""
    names = [edge.primitive for edge in graph.edges]
    found = {
        "skip": sum(name == "skip_connect" for name in names),
        "pool": sum("_pool_" in name for name in names),
        "none": sum(name == "none" for name in names),
    }
    return {group: count / len(names) for group, count in found.items()}


def search_line(row: dict[str, Any], epochs: int) -> str:
    """Return the epoch's line for the screen."""
    curvature = "" if row["curvature"] is None else f"  L_lambda {row['curvature']:.3g}"
    stage = "warmup" if row["phase"] == "warmup" else "epoch"
    return (
        f"{stage:<6} {row['epoch'] + 1}/{epochs}  train {row['loss_train']:.3f} {row['acc_train']:.1%}"
        f"  val {row['loss_val']:.3f} {row['acc_val']:.1%}{curvature}"
        f"  skips {'/'.join(str(n) for n in row['skips'].values())}  {seconds_text(row['seconds'])}"
    )


def skip_warning(row: dict[str, Any]) -> str | None:
    """Return a warning when skip connections are more than half of a cell: the known collapse of DARTS."""
    for kind, skips in row["skips"].items():
        if is_collapsed(skips, row["edges"][kind]):
            return (
                f"warning: {skips} of the {row['edges'][kind]} edges of the {kind} cell are skip connections; "
                "DARTS is known to collapse so: fewer epochs, a larger curvature.gamma or another seed may help"
            )
    return None
