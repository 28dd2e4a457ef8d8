"""The bilevel loop (Algorithm 1): one, for every objective, space and number of processes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from advrush import parallel
from advrush.config import check_made
from advrush.curvature import measure_curvature
from advrush.data import Dataset
from advrush.errors import RunError
from advrush.identity import of_objective
from advrush.models.relaxations import RELAXATIONS
from advrush.models.supernet import Supernet
from advrush.models.sync_batch_norm import share_batch_statistics
from advrush.out_of_memory import memory_advice
from advrush.progress import Display
from advrush.reading.gate import reading
from advrush.reading.text import read_toml
from advrush.run import LAST, Run
from advrush.schedule import cosine
from advrush.searching.authors import AuthorsAdvRush
from advrush.searching.config import SearchConfig
from advrush.searching.monitor import Monitor, search_line, skip_warning
from advrush.searching.objectives import (
    DOUBLE_BACKWARD,
    AdvRush,
    AlphaStep,
    Batch,
    Darts,
    Objective,
    weight_gradients,
)
from advrush.searching.select import objective_of
from advrush.searching.streams import Streams
from advrush.seeds import Purpose, derive_seed
from advrush.space import Architecture, space_named
from advrush.stage import stage

LAST_ROW = ("loss_train", "acc_train", "loss_val", "acc_val", "curvature")
"""What the result repeats of the last epoch."""


def search(
    config: SearchConfig,
    *,
    data_dir: Path | str | None = None,
    runs_dir: Path | str = "runs",
    device: str = "auto",
    display: bool = True,
    objective: Objective | None = None,
) -> Run:
    """Search an architecture; return the finished run, whose `genotype.json` holds it.

    The same configuration resumes an interrupted run at its last whole epoch and returns a finished one at once.

    Args:
        config: what to do.
        data_dir: where the data set lies (see the data page); not needed for `digits`.
        runs_dir: where run directories go.
        device: auto, cpu, cuda or cuda:N.
        display: whether to show progress.
        objective: an object of one's own in place of the one that `config.objective` names. It is not part of the
            configuration's digest: give the configuration a `name` that tells it apart.

    Raises ConfigError, DataError before anything is computed; RunError when a loss is not finite.
    """
    check_made(config, SearchConfig, objective, ("alpha_step", "weight_inputs"))
    processes = parallel.setup(device)
    dataset = config.data.load(data_dir)
    identity = dataset.identity | of_objective(objective)
    with stage(processes, runs_dir, "search", config, identity=identity, data_dir=data_dir) as (run, todo):
        if todo:
            chosen = objective or objective_of(config, dataset)
            with memory_advice("batch_size", config.batch_size):
                _Search(config, dataset, run, processes, chosen).go(display and processes.is_main)
    return run


class _Search:
    """The state of a search: supernet, both optimizers, the epoch."""

    def __init__(
        self, config: SearchConfig, dataset: Dataset, run: Run, processes: parallel.Parallel, objective: Objective
    ) -> None:
        self.config, self.run, self.processes, self.objective = config, run, processes, objective
        self.streams = Streams.of(config, dataset, processes)
        self.steps = self.streams.steps
        self.supernet = self._build(dataset)
        self.weights, self.alphas = self.supernet.weights(), self.supernet.alphas()
        self.weight_optimizer = torch.optim.SGD(
            self.weights, config.weights.lr, config.weights.momentum, weight_decay=config.weights.weight_decay
        )
        betas = (config.alpha.beta1, config.alpha.beta2)
        self.alpha_optimizer = torch.optim.Adam(
            list(self.alphas.values()), config.alpha.lr, betas, weight_decay=config.alpha.weight_decay
        )
        self.epoch = 0
        # looking at a loss on a GPU makes the host wait for it
        self.check_every = 1 if processes.device.type == "cpu" else 50

    def _build(self, dataset: Dataset) -> Supernet:
        """Initialize on the CPU from the seed, so that every process and device begins with the same numbers."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.config.seed)
            supernet = RELAXATIONS[self.config.relaxation](
                space_named(self.config.space), channels=self.config.channels, layers=self.config.layers,
                num_classes=dataset.num_classes, in_channels=dataset.channels, fast=self.config.fast,
            )  # fmt: skip
        if self.processes.world > 1:
            share_batch_statistics(supernet)
        return supernet.to(self.processes.device, getattr(torch, self.config.dtype))

    def go(self, show: bool) -> None:
        """Run the epochs that are left, then write genotype and result."""
        self._resume()
        path = self._curvature_path()
        with Display(f"search {self.config.name}", epochs=self.config.epochs, show=show) as display:
            if path == DOUBLE_BACKWARD and self.epoch < self.config.epochs:
                authors = isinstance(self.objective, AuthorsAdvRush)
                other = "fast is off, or a primitive is unknown to the linear passes"
                cause = "as in the authors' code" if authors else other
                display.line(f"L_lambda by double backward (slow): {cause}")
            if self.config.fidelity == "authors":
                display.line(f"fidelity authors: {readme(self.config)}")
            while self.epoch < self.config.epochs:
                row = self._epoch(display)
                self.epoch += 1
                if self.processes.is_main:
                    self._save(row)
                display.line(search_line(row, self.config.epochs))
            if warning := skip_warning(self.run.metrics()[-1]) if self.processes.is_main else None:
                display.line(warning)
        if self.processes.is_main:
            self._finish()

    def _curvature_path(self) -> str | None:
        """Return how L_lambda's gradient is computed, None where the objective has none."""
        path = getattr(self.objective, "curvature_path", None)
        return None if path is None else path(self.supernet)

    def _epoch(self, display: Display) -> dict[str, Any]:
        warm = self.epoch < self.config.warmup_epochs
        objective = Darts() if warm else self._objective()
        monitor = Monitor(self.supernet)
        lr = self._set_rate()
        for step, batch in enumerate(display.steps(self._batches(), total=self.steps, epoch=self.epoch)):
            self.supernet.train()
            self._begin(step, 0)
            alpha_step = self._measured(objective.alpha_step(self.supernet, batch), batch, step)
            self._update_alphas(alpha_step)
            self._begin(step, 1)
            loss, accuracy = self._update_weights(objective.weight_inputs(self.supernet, batch), batch.y)
            monitor.add(alpha_step, loss, accuracy)
            if step % self.check_every == 0 or step + 1 == self.steps:
                self._stop_unless_finite(monitor, step)
        return monitor.row(self.epoch, "warmup" if warm else "objective", lr, self.processes)

    def _objective(self) -> Objective:
        """Return the objective of this epoch: with the authors' ramp its h changes over the first epochs."""
        if not isinstance(self.objective, AdvRush | AuthorsAdvRush) or not self.config.departs("h_ramp"):
            return self.objective
        return replace(self.objective, h=self.config.step_length(self.epoch))

    def _begin(self, step: int, level: int) -> None:
        """Let the supernet prepare one of the two updates of a step: every process draws the same."""
        seed = derive_seed(Purpose.RELAXATION, self.config.seed, self.epoch, step, level)
        progress = self.epoch / max(self.config.epochs - 1, 1)
        self.supernet.begin_step(progress, torch.Generator().manual_seed(seed))

    def _measured(self, alpha_step: AlphaStep, batch: Batch, step: int) -> AlphaStep:
        """Add L_lambda where it is asked for and the objective did not need it (Figures 2 and A1)."""
        every = self.config.curvature.measure_every
        if alpha_step.curvature is not None or every == 0 or step % every:
            return alpha_step
        value = measure_curvature(self.supernet, batch.x_val, batch.y_val, h=self.config.curvature.h)
        return replace(alpha_step, curvature=value)

    def _update_alphas(self, alpha_step: AlphaStep) -> None:
        gradients = [alpha_step.gradients[kind] for kind in self.alphas]
        self.processes.average_(gradients)
        for alpha, gradient in zip(self.alphas.values(), gradients, strict=True):
            alpha.grad = gradient
        self.alpha_optimizer.step()

    def _update_weights(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        loss, accuracy, gradients = weight_gradients(self.supernet, x, y)
        self.processes.average_(gradients)
        clip_(gradients, self.config.weights.clip)
        for weight, gradient in zip(self.weights, gradients, strict=True):
            weight.grad = gradient
        self.weight_optimizer.step()
        return loss, accuracy

    def _batches(self) -> Iterator[Batch]:
        for step, ((x, y), (x_val, y_val)) in enumerate(self.streams.epoch(self.epoch)):
            seed = derive_seed(Purpose.SEARCH_STEP, self.config.seed, self.epoch, step)
            generator = torch.Generator().manual_seed(seed)
            yield Batch(x, y, x_val, y_val, self.weight_optimizer, self.processes, generator)

    def _set_rate(self) -> float:
        """Set the cosine schedule's rate for this epoch and return it."""
        w = self.config.weights
        lr = cosine(w.lr, w.lr_min, self.epoch, total=self.config.epochs)
        for group in self.weight_optimizer.param_groups:
            group["lr"] = lr
        return lr

    def _stop_unless_finite(self, monitor: Monitor, step: int) -> None:
        if not monitor.finite():
            last = f"{self.run.path / 'last.pt'} (epoch {self.epoch})" if self.epoch else "none was written yet"
            raise RunError(
                f"the loss is not finite at epoch {self.epoch + 1}, step {step + 1}; last good checkpoint: {last}. "
                f"weights.lr is {self.config.weights.lr:g}, curvature.gamma {self.config.curvature.gamma:g}; "
                "try smaller ones"
            )

    def _resume(self) -> None:
        state = self.run.load_state(writer=self.processes.is_main)
        if state is None:
            return
        with reading(self.run.path / LAST, "the state of this search; delete it to begin anew"):
            self.epoch = state["epoch"]
            if self.processes.is_main:
                self.run.check_metrics(self.epoch, (*LAST_ROW, "seconds"))
            self.supernet.load_state_dict(state["supernet"])
            self.weight_optimizer.load_state_dict(state["weight_optimizer"])
            self.alpha_optimizer.load_state_dict(state["alpha_optimizer"])

    def _save(self, row: Mapping[str, Any]) -> None:
        self.run.log(row)
        self.run.save_tensors(f"alphas/epoch-{self.epoch - 1:03d}.safetensors", self.alphas)
        self.run.save_state(
            {
                "epoch": self.epoch,
                "supernet": self.supernet.state_dict(),
                "weight_optimizer": self.weight_optimizer.state_dict(),
                "alpha_optimizer": self.alpha_optimizer.state_dict(),
            }
        )

    def _finish(self) -> None:
        rows = self.run.metrics()
        genotype = self.supernet.genotype()
        self.run.write_json("genotype.json", genotype.to_dict())
        last = {key: rows[-1][key] for key in LAST_ROW}
        if path := self._curvature_path():
            last["curvature_path"] = path
        self.run.finish({"genotype": genotype.to_dict(), **last, "seconds": sum(row["seconds"] for row in rows)})


def readme(config: SearchConfig) -> str:
    """Return which README of the authors' code a search follows, by the length of its warm-up."""
    if config.warmup_epochs == 0:
        return "the README until 27 December 2021, no warm-up; h rises over the first six epochs"
    if config.warmup_epochs == 50:
        return "the README since 27 December 2021, 50 epochs of warm-up"
    return (
        f"{config.warmup_epochs} epochs of warm-up, which neither README asks for (0 until 27 December 2021, then 50)"
    )


def clip_(gradients: list[Tensor], largest: float) -> None:
    """Scale the gradients in place so that their common 2-norm is at most `largest`, without synchronizing."""
    norms = torch._foreach_norm(gradients)
    total = torch.linalg.vector_norm(torch.stack(norms))
    factor = torch.clamp(largest / (total + 1e-6), max=1.0)
    torch._foreach_mul_(gradients, factor)


def derive(run: Run | Path | str) -> Architecture:
    """Return the genotype that a finished search found (RunError if it has not finished)."""
    run = run if isinstance(run, Run) else Run.at(run)
    space = str(read_toml(run.path / "config.toml").get("space"))
    result = run.result()
    with reading(run.path / "result.json", "the result of a search"):
        return space_named(space).parse(json.dumps(result["genotype"]))
