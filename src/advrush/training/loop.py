"""The training loop: one, for every objective and number of processes."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from advrush import parallel
from advrush.attacks import PGD
from advrush.config import check
from advrush.data import Dataset, Split, epoch_batches
from advrush.errors import ConfigError, RunError
from advrush.evaluation import measure
from advrush.models.network import Network
from advrush.models.saved import BEST, WEIGHTS, Blueprint
from advrush.progress import Display
from advrush.run import Run, memory_advice
from advrush.training.config import TrainConfig
from advrush.training.objectives import Adversarial, Objective, Standard, Trades


def train(
    config: TrainConfig,
    *,
    data_dir: Path | str | None = None,
    runs_dir: Path | str = "runs",
    device: str = "auto",
    display: bool = True,
    track: str | None = None,
    objective: Objective | None = None,
) -> Run:
    """Train a network; return the finished run, whose `weights.safetensors` and `best.safetensors` hold it.

    The same configuration resumes an interrupted run at its last whole epoch and returns a finished one at once.
    Raises ConfigError, DataError before anything is computed; RunError when a loss is not finite.
    """
    check(track is None, "track", track, "nothing: mirroring of metrics is not there yet; metrics.jsonl holds them")
    team = parallel.setup(device)
    dataset = config.data.load(data_dir)
    run = Run.open(Path(runs_dir), "train", config.name, config, writer=team.is_main)
    try:
        if not team.share(run.done):
            with memory_advice("batch_size", config.batch_size):
                _Training(config, dataset, run, team, objective or objective_of(config)).go(display and team.is_main)
        team.barrier()
        return run
    finally:
        run.close()


def objective_of(config: TrainConfig) -> Objective:
    """Return the objective that the configuration names."""
    a = config.attack
    attack = PGD(eps=a.eps, steps=a.steps, step_size=a.step_size, start="normal")
    match config.objective:
        case "standard":
            return Standard(config.auxiliary)
        case "pgd":
            return Adversarial(attack)
        case "trades":
            return Trades(attack, config.beta)


def blueprint_of(config: TrainConfig, dataset: Dataset) -> Blueprint:
    """Return what builds the network of a training."""
    normalize = config.objective == "standard" if config.normalize is None else config.normalize
    return Blueprint(
        arch=config.arch,
        num_classes=dataset.num_classes,
        image_size=dataset.image_size,
        in_channels=dataset.channels,
        channels=config.channels,
        layers=config.layers,
        auxiliary=config.auxiliary > 0,
        mean=dataset.mean if normalize else None,
        std=dataset.std if normalize else None,
    )


class _Training:
    """The state of a training: network, optimizer, epoch, best checkpoint."""

    def __init__(
        self, config: TrainConfig, dataset: Dataset, run: Run, team: parallel.Parallel, objective: Objective
    ) -> None:
        self.config, self.run, self.team, self.objective = config, run, team, objective
        self.train, self.held_out = (split.to(team.device) for split in _hold_out(dataset, config))
        self.blueprint = blueprint_of(config, dataset)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.model: nn.Module = self.blueprint.build().to(team.device)
        self.parameters = list(self.model.parameters())
        o = config.optimizer
        self.optimizer = torch.optim.SGD(self.parameters, o.lr, o.momentum, weight_decay=o.weight_decay)
        self.steps = len(self.train) // config.batch_size
        check(self.steps >= 1, "batch_size", config.batch_size, f"at most {len(self.train)}, the training images")
        self.epoch, self.best = 0, {"epoch": -1, "robust_acc_val": -1.0}

    def go(self, show: bool) -> None:
        """Run the epochs that are left, then write weights and result."""
        self._resume()
        with Display(f"train {self.config.name}", epochs=self.config.epochs, show=show) as display:
            while self.epoch < self.config.epochs:
                row = self._epoch(display)
                self.epoch += 1
                if self.team.is_main:
                    self._save(row)
                display.line(describe(row, self.config.epochs))
        if self.team.is_main:
            self._finish()

    def _epoch(self, display: Display) -> dict[str, Any]:
        config, started = self.config, time.monotonic()
        lr = self._set_rate()
        totals = torch.zeros(2, dtype=torch.float64, device=self.team.device)
        batches = epoch_batches(
            self.train, batch_size=config.batch_size, seed=config.seed, epoch=self.epoch, augment=config.augment,
            rank=self.team.rank, world=self.team.world,
        )  # fmt: skip
        with torch.random.fork_rng(devices=[] if self.team.device.type == "cpu" else [self.team.device]):
            torch.manual_seed(config.seed * 10**6 + self.epoch)  # drop path draws from the global generator
            generator = torch.Generator().manual_seed((config.seed + 1) * 10**6 + self.epoch)
            for step, (x, y) in enumerate(display.steps(batches, total=self.steps, epoch=self.epoch)):
                totals += self._step(x, y, generator)
                if step % 50 == 0 or step + 1 == self.steps:
                    self._stop_unless_finite(totals, step)
        self.team.average([totals])
        loss, accuracy = (totals / self.steps).tolist()
        row = {"epoch": self.epoch, "lr": lr, "loss_train": loss, "acc_train": accuracy}
        return {**row, **self._check_held_out(), "seconds": round(time.monotonic() - started, 3)}

    def _step(self, x: Tensor, y: Tensor, generator: torch.Generator) -> Tensor:
        """Take one step; return loss and accuracy (2,) without waiting for the device."""
        self.model.train()
        loss, logits = self.objective(self.model, x, y, generator)
        gradients = list(torch.autograd.grad(loss, self.parameters))
        self.team.average(gradients)
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient
        nn.utils.clip_grad_norm_(self.parameters, self.config.optimizer.clip, foreach=True)
        self.optimizer.step()
        return torch.stack([loss.detach().double(), (logits.detach().argmax(1) == y).double().mean()])

    def _check_held_out(self) -> dict[str, float | None]:
        """Return clean and robust accuracy on the held-out images, where this epoch asks for it."""
        config = self.config
        if (self.epoch + 1) % config.eval_every and self.epoch + 1 < config.epochs:
            return {"clean_acc_val": None, "robust_acc_val": None}
        attack = PGD(eps=config.attack.eps, steps=config.attack.val_steps, step_size=config.attack.step_size)
        x = self.held_out.images.float() / 255
        found = measure(self.model, x, self.held_out.labels, attacks=[attack], batch_size=250)
        return {"clean_acc_val": found.clean_acc, "robust_acc_val": found.robust_acc}

    def _set_rate(self) -> float:
        """Set this epoch's learning rate and drop path; return the rate."""
        config, o = self.config, self.config.optimizer
        if o.schedule == "cosine":
            lr = o.lr_min + (o.lr - o.lr_min) * (1 + math.cos(math.pi * self.epoch / config.epochs)) / 2
        else:
            lr = o.lr * o.decay_factor ** sum(self.epoch >= epoch for epoch in o.decay_epochs)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        for module in self.model.modules():
            if isinstance(module, Network):
                module.drop_path = config.drop_path * self.epoch / config.epochs
        return lr

    def _stop_unless_finite(self, totals: Tensor, step: int) -> None:
        if not torch.isfinite(totals).all():
            last = f"{self.run.path / 'last.pt'} (epoch {self.epoch})" if self.epoch else "none was written yet"
            raise RunError(
                f"the loss is not finite at epoch {self.epoch + 1}, step {step + 1}; last good checkpoint: {last}. "
                "Try a smaller optimizer.lr."
            )

    def _resume(self) -> None:
        state = self.run.load_state(writer=self.team.is_main)
        if state is None:
            return
        self.epoch, self.best = state["epoch"], state["best"]
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])

    def _save(self, row: Mapping[str, Any]) -> None:
        robust = row["robust_acc_val"]
        if robust is not None and robust > self.best["robust_acc_val"]:
            self.best = {key: row[key] for key in ("epoch", "clean_acc_val", "robust_acc_val")}
            self.run.save_tensors(BEST, self.model.state_dict(), self.blueprint.to_metadata())
        self.run.log(row)
        self.run.save_state(
            {
                "epoch": self.epoch,
                "best": self.best,
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
            }
        )

    def _finish(self) -> None:
        rows = self.run.metrics()
        self.run.save_tensors(WEIGHTS, self.model.state_dict(), self.blueprint.to_metadata())
        self.run.finish(
            {
                "parameters": sum(parameter.numel() for parameter in self.parameters),
                "best_epoch": self.best["epoch"],
                "clean_acc_val": self.best["clean_acc_val"],
                "robust_acc_val": self.best["robust_acc_val"],
                "last_clean_acc_val": rows[-1]["clean_acc_val"],
                "last_robust_acc_val": rows[-1]["robust_acc_val"],
                "seconds": round(sum(row["seconds"] for row in rows), 3),
            }
        )


def _hold_out(dataset: Dataset, config: TrainConfig) -> tuple[Split, Split]:
    """Return the training images without, and the held-out images alone."""
    total = len(dataset.train)
    count = config.validation_examples or min(1000, max(1, total // 10))
    if count >= total:
        raise ConfigError(f"validation_examples: got {count}; expected fewer than the {total} training images")
    order = torch.randperm(total, generator=torch.Generator().manual_seed(config.seed))
    return dataset.train.subset(order[count:]), dataset.train.subset(order[:count])


def describe(row: Mapping[str, Any], epochs: int) -> str:
    """Return the epoch's line for the screen."""
    held = ""
    if row["clean_acc_val"] is not None:
        held = f"  held out: clean {row['clean_acc_val']:.1%} robust {row['robust_acc_val']:.1%}"
    return (
        f"epoch {row['epoch'] + 1}/{epochs}  lr {row['lr']:.4g}  train {row['loss_train']:.4f} ({row['acc_train']:.1%})"
        f"{held}  {row['seconds']:.1f} s"
    )
