"""The frame of every analysis: run directory, images, network."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from advrush import parallel
from advrush.attacks.ensemble.checks import suspicions
from advrush.attacks.ensemble.single import SUSPECTED
from advrush.attacks.gate import seeded_globally
from advrush.data import DataConfig, Dataset
from advrush.errors import ConfigError, ModelContractError
from advrush.evaluation import Target
from advrush.evaluation.fingerprint import examine
from advrush.modes import evaluating, frozen
from advrush.progress import Display
from advrush.run import Run
from advrush.stage import stage

STAGE = "analyze"

Work = Callable[[Run, Display, torch.device], None]
"""Measures and writes; calls `run.finish` last."""


def analyze(
    config: Any,
    runs_dir: Path | str,
    device: str,
    title: str,
    *,
    display: bool,
    work: Work,
    epochs: int = 1,
    targets: Sequence[Target] = (),
    dataset: Dataset | None = None,
) -> Run:
    """Open the run directory of `config`, do the work unless it is done, return the finished run.

    An analysis is one process: under torchrun, only rank 0 works and the others wait. The networks and the data that
    it is of are compared with those that the run was made of, and their classes with each other.
    """
    processes = parallel.setup(device)
    identity, odd = ({}, ()) if dataset is None else examine(targets, dataset)
    if dataset is not None:
        odd += _suspicions(targets, dataset, identity)
    with stage(processes, runs_dir, STAGE, config, identity=identity) as (run, todo):
        if todo and processes.is_main:
            with Display(title, epochs=epochs, show=display) as screen:
                for text in odd:
                    screen.line(f"warning: {text}")
                started = time.monotonic()
                work(run, screen, processes.device)
                run.log({"epoch": 0, "seconds": round(time.monotonic() - started, 3)})
    return run


def _suspicions(targets: Sequence[Target], dataset: Dataset, identity: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what is odd about the networks; raise ModelContractError for one whose graph is cut."""
    found = []
    gradients = [identity["gradients"]] if len(targets) == 1 else identity["gradients"]
    for target, each in zip(targets, gradients, strict=True):
        parameter = next((p for p in target.model.parameters() if p.is_floating_point()), torch.zeros(()))
        if parameter.dtype not in (torch.float32, torch.float64):
            continue  # an analysis says itself what it takes
        if not each:
            raise ModelContractError(
                f"{target.label}: the model's output does not depend on the image by differentiable operations "
                "(detach, round, argmax or no_grad inside?)"
            )
        x = (dataset.test.images[:SUSPECTED].float() / 255).to(parameter)
        with evaluating(target.model), frozen(target.model), seeded_globally(x.device, 0):
            said = suspicions(target.model, x, dataset.test.labels[:SUSPECTED].to(x.device))
        found += [f"{target.label}: {sentence}" for sentence in said]
    return tuple(found)


def test_images(data: DataConfig, images: int, data_dir: Path | str | None) -> tuple[Dataset, DataConfig]:
    """Return the data set with `images` test images (all, if there are fewer), and the configuration that says so."""
    whole = data.load(data_dir)
    count = min(images, len(whole.test), data.test_examples or images)
    chosen = replace(data, test_examples=count)
    return chosen.load(data_dir), chosen


def pixels(dataset: Dataset, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the test images in [0, 1], float32, and their labels."""
    split = dataset.test.to(device)
    return split.pixels(), split.labels


def require(condition: bool, message: str) -> None:
    """Raise ConfigError with the message unless the condition holds."""
    if not condition:
        raise ConfigError(message)
