"""The stage `evaluate`: a network on a data set's test images, its flags and accuracies in a run directory."""

from __future__ import annotations

import copy
import os
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch
from torch import nn

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
from advrush.evaluation.results import AttackOutcome
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
    config = replace(config, model=found.label, weights=found.digest)
    attacks = attacks_of(config)
    dataset = config.data.load(data_dir)
    identity, odd = examine([found], dataset)
    with stage(processes, runs_dir, "evaluate", config, identity=identity, data_dir=data_dir) as (run, todo):
        if todo:
            _evaluate(
                found.model.to(processes.device),
                config,
                attacks,
                dataset,
                odd,
                run,
                display and processes.is_main,
                processes,
            )
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


def _evaluate(
    model: nn.Module,
    config: EvaluateConfig,
    attacks: tuple[Attack, ...],
    dataset: Dataset,
    odd: tuple[str, ...],
    run: Run,
    display: bool,
    processes: parallel.Parallel,
) -> None:
    device = device_of(model, torch.device("cpu"))
    model = _in_type(model, getattr(torch, config.dtype))
    split = dataset.test.to(device)
    x, y = split.pixels(getattr(torch, config.dtype)), split.labels
    sweeps = sweeps_of(config)
    state_name = "last.pt" if processes.world == 1 else f"last-{processes.rank}-of-{processes.world}.pt"
    state = run.load_state(state_name)
    progress = Progress() if state is None else Progress.load(state.get("progress"), len(x), run.path / state_name)
    with Display(f"evaluate {config.model}", show=display) as screen:
        screen.line(_threat_line(config, len(x)))
        searched = searched_on(model, config)
        names = [name for sweep in sweeps.values() for name in sweep.names]
        pace = Pace(attacks, searched, x, batch_size=config.batch_size, sweeps=names)
        screen.at(pace.done(progress), pace.total)

        def save(progress: Progress, name: str) -> None:
            screen.at(pace.done(progress), pace.total)
            run.save_state({"epoch": 0, "progress": progress.state_dict()}, state_name)

        def tell(found: AttackOutcome | TargetedOutcome) -> None:
            for line in outcome_lines(found):
                screen.line(line)

        outcome = measure(
            searched, x, y, attacks=attacks, batch_size=config.batch_size, progress=progress,
            on_batch=save, sweeps=tuple(sweeps.values()), processes=processes, on_outcome=tell,
            keep_examples=config.save_examples,
        )  # fmt: skip
        curves = (sweep_line(name, flags) for name, flags in outcome.sweeps.items())
        for line in (*curves, *(f"warning: {text}" for text in odd)):
            screen.line(line)
    if processes.is_main:
        Finished(outcome, searched, x, y, config, attacks, sweeps, dataset).write(run, warnings=odd)


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
