"""The stage `evaluate`: a network on a data set's test images, its flags and accuracies in a run directory."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from advrush import parallel
from advrush.attacks import PGD, Attack, AutoAttack, Duo, FastModel, parse_attacks
from advrush.attacks.passes.chunks import device_of
from advrush.config import radius_text
from advrush.data import DataConfig, Dataset
from advrush.errors import ModelContractError
from advrush.evaluation.config import EvaluateConfig
from advrush.evaluation.evaluation_files import Finished
from advrush.evaluation.fingerprint import examine
from advrush.evaluation.lines import Pace, outcome_lines, sweep_line
from advrush.evaluation.progress import Progress
from advrush.evaluation.results import AttackOutcome, Evaluation
from advrush.evaluation.robust_accuracy import measure
from advrush.evaluation.sweep import RadiusSweep, StepSweep, Sweep
from advrush.evaluation.targeted import TargetedOutcome
from advrush.evaluation.targets import Target, as_target
from advrush.progress import Display
from advrush.run import Run
from advrush.stage import stage


def evaluate(
    target: str | os.PathLike[str] | nn.Module | Target,
    config: EvaluateConfig | None = None,
    *,
    data_dir: Path | str | None = None,
    runs_dir: Path | str = "runs",
    device: str = "auto",
    display: bool = True,
) -> Run:
    """Attack a network; return the finished run, whose `result.json` holds the accuracies.

    The same network and configuration resume an interrupted evaluation at its last batch; a finished one returns at
    once.

    Args:
        target: a training run, a weights file, `python:MODULE:FACTORY`, or an nn.Module that takes [0, 1] pixels.
        config: what to do. Where it is None a run is attacked with the default attacks on the test images of its own
            data, which are looked for where they lay when it was trained.
        data_dir: where the data set lies.
        runs_dir: where run directories go.
        device: auto, cpu, cuda or cuda:N.
        display: whether to show progress.
    """
    processes = parallel.setup(device)
    found = as_target(target)
    if config is None:
        config, data_dir = EvaluateConfig(data=found.data or DataConfig()), data_dir or found.place
    return evaluate_subject(
        subject_of(found, config, data_dir), processes, data_dir=data_dir, runs_dir=runs_dir, display=display
    )


def evaluate_subject(
    subject: Subject,
    processes: parallel.Parallel,
    *,
    data_dir: Path | str | None,
    runs_dir: Path | str,
    display: bool,
) -> Run:
    """Do what `evaluate` does with a network and images that are there already."""
    opened = stage(processes, runs_dir, "evaluate", subject.config, identity=subject.identity, data_dir=data_dir)
    with opened as (run, todo):
        if todo:
            name = "last.pt" if processes.world == 1 else f"last-{processes.rank}-of-{processes.world}.pt"
            subject.evaluated(run, name, processes, display=display and processes.is_main)
    return run


def attacks_of(config: EvaluateConfig) -> tuple[Attack, ...]:
    """Return the attacks that a configuration names."""
    attacks = parse_attacks(config.attacks, config.threat, seed=config.seed)
    own = {"order": config.order, "batch_size": config.batch_size}
    return tuple(replace(a, **own) if isinstance(a, AutoAttack | Duo) else a for a in attacks)  # type: ignore[arg-type]


def searched_on(model: nn.Module, config: EvaluateConfig) -> nn.Module:
    """Return the accelerated model, or the model itself if bitwise parity is required."""
    free = config.order == "example" and config.dtype == "float32"
    channels_last, fold = config.channels_last and free, config.fold_norms and free
    if config.precision == "float32" and not (config.compile or channels_last or fold):
        return model
    dtype = getattr(torch, config.precision)
    return FastModel(model, dtype=dtype, compile=config.compile, channels_last=channels_last, fold=fold)


def sweeps_of(config: EvaluateConfig) -> dict[Literal["steps", "eps"], Sweep]:
    """Return the curves that a configuration asks for."""
    (pgd,) = parse_attacks("pgd20", config.threat, seed=config.seed)
    assert isinstance(pgd, PGD)
    found: dict[Literal["steps", "eps"], Sweep] = {}
    if config.sweep_steps:
        found["steps"] = StepSweep(pgd, config.sweep_steps)
    if config.sweep_eps:
        found["eps"] = RadiusSweep(pgd, config.sweep_eps)
    return found


@dataclass(frozen=True, eq=False)
class Subject:
    """What an evaluation is of: the network, the complete configuration, the images, and what was seen of them."""

    target: Target
    config: EvaluateConfig
    dataset: Dataset
    identity: Mapping[str, Any]
    odd: tuple[str, ...]

    def evaluated(self, run: Run, state: str, processes: parallel.Parallel, *, display: bool) -> None:
        """Attack this process's examples, going on from the file `state`; the first process writes the result."""
        attacks = attacks_of(self.config)
        with Display(f"evaluate {self.config.model}", show=display) as screen:
            outcome, ready, _ = self._attack(run, state, processes, attacks, screen)
            curves = (sweep_line(name, flags) for name, flags in outcome.sweeps.items())
            for line in (*curves, *(f"warning: {text}" for text in self.odd)):
                screen.line(line)
        if processes.is_main:
            sweeps = sweeps_of(self.config)
            Finished(outcome, ready.model, ready.x, ready.y, self.config, attacks, sweeps, self.dataset).write(
                run, warnings=self.odd
            )

    def attacked(self, run: Run, state: str, processes: parallel.Parallel) -> Progress:
        """Attack this process's examples, going on from the file `state`; return what is known of them."""
        with Display(f"evaluate {self.config.model}", show=False) as screen:
            return self._attack(run, state, processes, attacks_of(self.config), screen)[2]

    def _attack(
        self,
        run: Run,
        state: str,
        processes: parallel.Parallel,
        attacks: tuple[Attack, ...],
        screen: Display,
    ) -> tuple[Evaluation, _Ready, Progress]:
        config, ready, sweeps = self.config, self._ready(processes.device), sweeps_of(self.config)
        kept = run.load_state(state)
        x, y = ready.x, ready.y
        progress = Progress() if kept is None else Progress.load(kept.get("progress"), len(x), run.path / state)
        screen.line(_threat_line(config, len(x)))
        names = [name for sweep in sweeps.values() for name in sweep.names]
        pace = Pace(attacks, ready.model, x, batch_size=config.batch_size, sweeps=names)
        screen.at(pace.done(progress), pace.total)
        latest = [progress]

        def save(progress: Progress, name: str) -> None:
            screen.at(pace.done(progress), pace.total)
            run.save_state({"epoch": 0, "progress": progress.state_dict()}, state)
            latest[0] = progress

        def tell(found: AttackOutcome | TargetedOutcome) -> None:
            for line in outcome_lines(found):
                screen.line(line)

        outcome = measure(
            ready.model, x, y, attacks=attacks, batch_size=config.batch_size, progress=progress,
            on_batch=save, sweeps=tuple(sweeps.values()), processes=processes, on_outcome=tell,
            keep_examples=config.save_examples,
        )  # fmt: skip
        return outcome, ready, replace(latest[0], clean=outcome.clean)

    def _ready(self, device: torch.device) -> _Ready:
        """Return network and images on the device, as the attacks take them."""
        model, dtype = self.target.model.to(device), getattr(torch, self.config.dtype)
        split = self.dataset.test.to(device_of(model, torch.device("cpu")))
        return _Ready(searched_on(_in_type(model, dtype), self.config), split.pixels(dtype), split.labels)


@dataclass(frozen=True, eq=False)
class _Ready:
    """The network as attacks search on it, images (N, C, H, W) in [0, 1] and labels (N,), on the device."""

    model: nn.Module
    x: Tensor
    y: Tensor


def subject_of(
    target: str | os.PathLike[str] | nn.Module | Target, config: EvaluateConfig, data_dir: Path | str | None
) -> Subject:
    """Return what an evaluation is of: the images are loaded, the network is looked at."""
    found = as_target(target)
    config = replace(config, model=found.label, weights=found.digest)
    attacks_of(config)  # an unknown name is told before the images are loaded
    dataset = config.data.load(data_dir)
    identity, odd = examine([found], dataset)
    return Subject(found, config, dataset, identity, odd)


def _in_type(model: nn.Module, dtype: torch.dtype) -> nn.Module:
    """Return the model in a type: a copy, since the caller's keeps its own, or itself where it has that type."""
    if all(not p.is_floating_point() or p.dtype == dtype for p in (*model.parameters(), *model.buffers())):
        return model
    try:
        return copy.deepcopy(model).to(dtype)
    except (RuntimeError, TypeError, NotImplementedError) as error:
        raise ModelContractError(f"the model cannot be copied to {dtype}: {error}; give one of that type") from None


def _threat_line(config: EvaluateConfig, images: int) -> str:
    return f"{images} images; attacks in {radius_text(config.norm, config.eps)}"
