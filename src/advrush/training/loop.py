"""The training loop: one, for every objective and number of processes."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from advrush import parallel
from advrush.config import check, check_made
from advrush.data import Dataset, Split, epoch_batches
from advrush.errors import ConfigError, ModelContractError, RunError
from advrush.evaluation import measure
from advrush.identity import of_objective
from advrush.models.count import parameters
from advrush.models.network import Network
from advrush.models.sync_batch_norm import share_batch_statistics
from advrush.models.weights.saved import BEST, DROP, WEIGHTS, class_metadata
from advrush.out_of_memory import memory_advice
from advrush.progress import Display, seconds_text
from advrush.reading.gate import reading
from advrush.run import LAST, Run
from advrush.seeds import Purpose, derive_seed
from advrush.stage import stage
from advrush.track import Mirror, tracker
from advrush.training.blueprint import blueprint_of, check_batch_norm, check_normalization
from advrush.training.config import TrainConfig
from advrush.training.objectives import Objective, objective_of
from advrush.training.step import Stepper


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
    """Train a network; return the finished run, which keeps up to three checkpoints of it.

    `weights.safetensors` is the last network, `best.safetensors` the one with the highest robust accuracy on the
    held-out images, `drop.safetensors` the one shortly after the first drop of a step schedule's rate.

    `track` mirrors each epoch's row to `tensorboard`, `trackio` or `wandb`; `objective` takes the place of the
    configuration's. The same configuration resumes an interrupted run at its last whole epoch and returns a finished
    one at once.
    Raises ConfigError, DataError before anything is computed; RunError when a loss is not finite.
    """
    check_made(config, TrainConfig, objective, ("perturb", "loss"))
    mirror = tracker(track)
    processes = parallel.setup(device)
    dataset = config.data.load(data_dir)
    identity = dataset.identity | of_objective(objective)
    if processes.world == 1:
        check_batch_norm(config, dataset)
    with stage(processes, runs_dir, "train", config, identity=identity, data_dir=data_dir) as (run, todo):
        if dataset.resized:
            check_normalization(run.path, blueprint_of(config, dataset))
        if todo:
            with memory_advice("batch_size", config.batch_size):
                training = _Training(config, dataset, run, processes, objective or objective_of(config))
                training.mirror = mirror(run.path) if processes.is_main else None
                training.go(display and processes.is_main)
    return run


class _Training:
    """The state of a training: network, optimizer, epoch, best checkpoint."""

    def __init__(
        self, config: TrainConfig, dataset: Dataset, run: Run, processes: parallel.Parallel, objective: Objective
    ) -> None:
        self.config, self.run, self.processes = config, run, processes
        self.mirror: Mirror | None = None
        self.train, self.held_out = (split.to(processes.device) for split in _hold_out(dataset, config))
        self.steps = len(self.train) // config.batch_size
        check(self.steps >= 1, "batch_size", config.batch_size, f"at most {len(self.train)}, the training images")
        self.mean = dataset.mean
        self.blueprint = blueprint_of(config, dataset)
        self.metadata = self.blueprint.to_metadata() | class_metadata(dataset.classes)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            model = self.blueprint.build().to(processes.device)
        if config.channels_last:
            model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if processes.world > 1:
            share_batch_statistics(model)
        for module in model.modules():
            if isinstance(module, Network):
                module.recompute = config.objective != "standard" if config.recompute is None else config.recompute
        self.model: nn.Module = model
        self.stepper = Stepper(config, model, processes, objective)
        average = get_ema_multi_avg_fn(config.ema)  # type: ignore[no-untyped-call]
        self.average = AveragedModel(model, multi_avg_fn=average, use_buffers=True) if config.ema else None
        self.epoch = 0
        self.best: dict[str, Any] = {"epoch": -1, "clean_acc_val": None, "robust_acc_val": -1.0, "checks_since": 0}

    @property
    def kept(self) -> nn.Module:
        """The network that is checked and saved: the trained one, or the average of its weights."""
        return self.model if self.average is None else self.average.module

    def go(self, show: bool) -> None:
        """Run the epochs that are left, then write weights and result."""
        self._resume()
        with Display(f"train {self.config.name}", epochs=self.config.epochs, show=show) as display:
            while self.epoch < self.config.epochs and not self._is_stale():
                row = self._epoch(display)
                self.epoch += 1
                self._note_best(row)
                if self.processes.is_main:
                    self._save(row)
                display.line(training_line(row, self.config.epochs))
                if self._is_stale():
                    display.line(f"stopped: no better robust accuracy in {self.config.patience} checks")
        if self.processes.is_main:
            self._finish()

    def _epoch(self, display: Display) -> dict[str, Any]:
        config, started = self.config, time.monotonic()
        self._set_drop_path()
        totals = torch.zeros(2, dtype=torch.float64, device=self.processes.device)
        batches = epoch_batches(
            self.train, batch_size=config.batch_size, seed=config.seed, epoch=self.epoch, augment=config.augment,
            rank=self.processes.rank, world=self.processes.world, mean=self.mean,
        )  # fmt: skip
        with torch.random.fork_rng(devices=[] if self.processes.device.type == "cpu" else [self.processes.device]):
            torch.manual_seed(derive_seed(Purpose.DROP_PATH, config.seed, self.epoch))  # drop path draws globally
            generator = torch.Generator().manual_seed(derive_seed(Purpose.ATTACK_STARTS, config.seed, self.epoch))
            for step, (x, y) in enumerate(display.steps(batches, total=self.steps, epoch=self.epoch)):
                lr = config.optimizer.rate(self._progress(step), config.epochs)
                totals += self.stepper(x, y, generator, lr=lr, awp=config.awp * (self.epoch >= config.awp_after))
                if self.average is not None:
                    self.average.update_parameters(self.model)
                if step % 50 == 0 or step + 1 == self.steps:
                    self._stop_unless_finite(totals, step)
        self.processes.average_([totals])
        loss, accuracy = (totals / self.steps).tolist()
        row = {"epoch": self.epoch, "lr": lr, "loss_train": loss, "acc_train": accuracy}
        return {**row, **self._check_held_out(), "seconds": round(time.monotonic() - started, 3)}

    def _progress(self, step: int) -> float:
        """Return the epochs behind this step: whole ones, but where the rate changes at each step."""
        return self.epoch + (step + 1) / self.steps if self.config.optimizer.schedule == "one-cycle" else self.epoch

    def _check_held_out(self) -> dict[str, float | None]:
        """Return clean and robust accuracy on the held-out images, where this epoch asks for it."""
        config = self.config
        if (self.epoch + 1) % config.eval_every and self.epoch + 1 < config.epochs:
            return {"clean_acc_val": None, "robust_acc_val": None}
        attack = config.attack.pgd(steps=config.attack.val_steps)
        x = self.held_out.pixels()
        try:
            found = measure(self.kept, x, self.held_out.labels, attacks=[attack], batch_size=250)
        except ModelContractError as error:
            raise self._diverged(f"{error}, after epoch {self.epoch + 1}") from None
        return {"clean_acc_val": found.clean_acc, "robust_acc_val": found.robust_acc}

    def _set_drop_path(self) -> None:
        """Set this epoch's drop path."""
        for module in self.model.modules():
            if isinstance(module, Network):
                module.drop_path = self.config.drop_path * self.epoch / self.config.epochs

    def _is_stale(self) -> bool:
        """Tell whether the robust accuracy has not risen for as many checks as the patience allows."""
        patience = self.config.patience
        return patience is not None and int(self.best["checks_since"]) >= patience

    def _stop_unless_finite(self, totals: Tensor, step: int) -> None:
        if not torch.isfinite(totals).all():
            raise self._diverged(f"the loss is not finite at epoch {self.epoch + 1}, step {step + 1}")

    def _diverged(self, what: str) -> RunError:
        """Return the error of a training whose numbers are no use any more."""
        last = f"{self.run.path / LAST} (epoch {self.epoch})" if self.epoch else "none was written yet"
        lr = self.config.optimizer.lr
        return RunError(f"{what}; last good checkpoint: {last}. optimizer.lr is {lr:g}; try a smaller one")

    def _resume(self) -> None:
        state = self.run.load_state(writer=self.processes.is_main)
        if state is None:
            return
        with reading(self.run.path / LAST, "the state of this training; delete it to begin anew"):
            self.epoch, self.best = state["epoch"], {key: state["best"][key] for key in self.best}
            if self.processes.is_main:
                self.run.check_metrics(self.epoch, ("clean_acc_val", "robust_acc_val", "seconds"))
            self.model.load_state_dict(state["model"])
            self.stepper.optimizer.load_state_dict(state["optimizer"])
            self.stepper.scaler.load_state_dict(state["scaler"])
            if self.average is not None:
                self.average.load_state_dict(state["average"])

    def _note_best(self, row: Mapping[str, Any]) -> None:
        """Keep the epoch with the highest robust accuracy on the held-out images, the first of equals."""
        robust = row["robust_acc_val"]
        if robust is None:
            return
        if robust > self.best["robust_acc_val"]:
            self.best = {**{key: row[key] for key in ("epoch", "clean_acc_val", "robust_acc_val")}, "checks_since": 0}
        else:
            self.best["checks_since"] += 1

    def _save(self, row: Mapping[str, Any]) -> None:
        if self.best["epoch"] == row["epoch"]:
            self.run.save_tensors(BEST, self.kept.state_dict(), self.metadata)
        if self.epoch == self.config.optimizer.drop_checkpoint(self.config.epochs):
            self.run.save_tensors(DROP, self.kept.state_dict(), self.metadata)
        self.run.log(row)
        if self.mirror is not None:
            self.mirror.log(row)
        state = {
            "epoch": self.epoch,
            "best": self.best,
            "model": self.model.state_dict(),
            "optimizer": self.stepper.optimizer.state_dict(),
            "scaler": self.stepper.scaler.state_dict(),
        }
        self.run.save_state(state | ({"average": self.average.state_dict()} if self.average is not None else {}))

    def _finish(self) -> None:
        rows = self.run.metrics()
        checked = [row for row in rows if row["robust_acc_val"] is not None]
        drop = self.config.optimizer.drop_checkpoint(self.config.epochs)
        dropped = rows[drop - 1] if drop is not None and drop <= len(rows) else {}
        if self.mirror is not None:
            self.mirror.close()
        self.run.save_tensors(WEIGHTS, self.kept.state_dict(), self.metadata)
        self.run.finish(
            {
                "parameters": parameters(self.model),
                "epochs": self.epoch,
                "best_epoch": self.best["epoch"],
                "examples_val": len(self.held_out),
                "clean_acc_val": self.best["clean_acc_val"],
                "robust_acc_val": self.best["robust_acc_val"],
                "last_clean_acc_val": checked[-1]["clean_acc_val"],
                "last_robust_acc_val": checked[-1]["robust_acc_val"],
                "drop_epoch": dropped.get("epoch"),
                "drop_clean_acc_val": dropped.get("clean_acc_val"),
                "drop_robust_acc_val": dropped.get("robust_acc_val"),
                "robust_overfitting": self.best["robust_acc_val"] - checked[-1]["robust_acc_val"],
                "seconds": round(sum(row["seconds"] for row in rows), 3),
            }
        )


def _hold_out(dataset: Dataset, config: TrainConfig) -> tuple[Split, Split]:
    """Return the images to train on, and those that no step sees: of the data set's own validation split if it has one.

    Without one they are taken from the training images (`TrainConfig.held_out`).
    """
    generator = torch.Generator().manual_seed(config.seed)
    if (own := dataset.validation) is not None:
        count = config.validation_examples or min(1000, len(own))
        check(count <= len(own), "validation_examples", count, f"at most {len(own)}, the validation images")
        return dataset.train, own.subset(torch.randperm(len(own), generator=generator)[:count])
    total = len(dataset.train)
    count = config.held_out(total)
    if count >= total:
        raise ConfigError(f"validation_examples: got {count}; expected fewer than the {total} training images")
    order = torch.randperm(total, generator=generator)
    return dataset.train.subset(order[count:]), dataset.train.subset(order[:count])


def training_line(row: Mapping[str, Any], epochs: int) -> str:
    """Return the epoch's line for the screen."""
    held = ""
    if row["clean_acc_val"] is not None:
        held = f"  val clean {row['clean_acc_val']:.1%} robust {row['robust_acc_val']:.1%}"
    return (
        f"epoch {row['epoch'] + 1}/{epochs}  lr {row['lr']:.2g}  train {row['loss_train']:.3f} {row['acc_train']:.1%}"
        f"{held}  {seconds_text(row['seconds'])}"
    )
