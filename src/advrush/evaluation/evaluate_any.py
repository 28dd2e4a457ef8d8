"""`evaluate`: a run directory from a configuration, or a result at once from data that a program has at hand."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, overload

import torch
from torch import nn

from advrush import parallel
from advrush.attacks import Attack, parse_attacks, threat_model
from advrush.attacks.gate import is_attack
from advrush.attacks.threat import Norm
from advrush.config import check, check_seed, radius
from advrush.data.given import images_and_labels
from advrush.evaluation.config import EvaluateConfig
from advrush.evaluation.evaluate_stage import evaluate as evaluate_stage
from advrush.evaluation.lines import Pace, outcome_lines
from advrush.evaluation.normalization import Normalization
from advrush.evaluation.progress import Progress
from advrush.evaluation.results import AttackOutcome, Evaluation
from advrush.evaluation.robust_accuracy import attack_names, measure
from advrush.evaluation.targeted import TargetedOutcome
from advrush.evaluation.targets import Target, as_target
from advrush.progress import Display
from advrush.run import Run

Model = str | os.PathLike[str] | nn.Module | Target


@overload
def evaluate(
    target: Model,
    data: EvaluateConfig | None = None,
    *,
    data_dir: Path | str | None = None,
    runs_dir: Path | str = "runs",
    device: str = "auto",
    display: bool = True,
    normalize: str | Normalization | None = None,
    output: str | int | None = None,
) -> Run: ...


@overload
def evaluate(
    target: Model,
    data: Any,
    *,
    attacks: str | Attack | Sequence[str | Attack] = ...,
    norm: Norm = ...,
    eps: float | Sequence[float] = ...,
    batch_size: int = ...,
    seed: int = ...,
    limit: int | None = ...,
    device: str = ...,
    display: bool = ...,
    normalize: str | Normalization | None = ...,
    output: str | int | None = ...,
) -> Evaluation: ...


def evaluate(
    target: Model,
    data: Any = None,
    *,
    attacks: str | Attack | Sequence[str | Attack] = ("fgsm", "pgd20"),
    norm: Norm = "Linf",
    eps: float | Sequence[float] = 0.031,
    batch_size: int = 100,
    seed: int = 0,
    limit: int | None = None,
    data_dir: Path | str | None = None,
    runs_dir: Path | str = "runs",
    device: str = "auto",
    display: bool = True,
    normalize: str | Normalization | None = None,
    output: str | int | None = None,
) -> Run | Evaluation:
    """Attack a network. With a configuration, in a run directory that resumes; with data at hand, at once.

    Args:
        target: a training run, a weights or ONNX file, a text such as `my_models.py:net`, or an nn.Module that takes
            [0, 1] pixels.
        data: an `EvaluateConfig` (its defaults where nothing is given): the finished run is returned, whose
            `result.json` holds the accuracies. Or images and labels, as `images_and_labels` takes them: the
            `Evaluation` is returned and nothing is written.
        attacks: with data, attacks by name or value; names take `norm`, `eps` and `seed`, values have their own.
        norm: with data, norm of the threat model of attacks by name.
        eps: with data, its radius in [0, 1] pixel units; of several, each attack is run at each.
        batch_size: with data, examples attacked at once.
        seed: with data, seed of the random starts.
        limit: with data, at most this many of the first examples.
        data_dir: with a configuration, where the data set lies.
        runs_dir: with a configuration, where run directories go.
        device: auto, cpu, cuda or cuda:N.
        display: whether to show progress.
        normalize: normalization that the network was trained with, where it does not begin with it (see `as_target`).
        output: entry of what the network returns that holds the logits (see `as_target`).

    Raises AdvrushError for a target, data or attacks that are not sound.
    """
    found = as_target(target, normalize=normalize, output=output)
    if data is None or isinstance(data, EvaluateConfig):
        return evaluate_stage(found, data, data_dir=data_dir, runs_dir=runs_dir, device=device, display=display)
    several = isinstance(eps, Sequence) and not isinstance(eps, str)
    radii = tuple(dict.fromkeys(radius(each) for each in (eps if several else [eps])))  # type: ignore[union-attr]
    check(bool(radii), "eps", eps, "at least one radius")
    check(type(batch_size) is int and batch_size >= 1, "batch_size", batch_size, "a whole number >= 1")
    check_seed(seed)
    chosen = [attack for each in radii for attack in _attacks(attacks, norm, each, seed)]
    x, y = images_and_labels(data, limit=limit)
    place = parallel.setup(device).device
    return _measured(found, x.to(place), y.to(place), chosen, batch_size=batch_size, display=display)


def _attacks(given: Any, norm: Norm, eps: float, seed: int) -> list[Attack]:
    """Return attacks of names and values; values keep their own radius."""
    several = given if isinstance(given, Sequence) and not isinstance(given, str) else [given]
    threat = threat_model(norm, eps)
    found: list[Attack] = []
    for each in several:
        named = isinstance(each, str)
        check(
            named or is_attack(each), "attacks", each,
            "names such as pgd20, or attack values such as PGD(eps=0.031)",
        )  # fmt: skip
        found += parse_attacks(each, threat, seed=seed) if named else [each]
    check(bool(found), "attacks", given, "at least one attack, such as fgsm or pgd20")
    return found


def _measured(
    target: Target, x: torch.Tensor, y: torch.Tensor, attacks: list[Attack], *, batch_size: int, display: bool
) -> Evaluation:
    unique = list(dict.fromkeys(attacks))  # a value that was given is not repeated for each radius
    model = target.model.to(x.device)
    with Display(f"evaluate {target.label}", show=display) as screen:
        pace = Pace(unique, model, x, batch_size=batch_size)

        def moved(progress: Progress, name: str) -> None:
            screen.at(pace.done(progress), pace.total)

        def tell(outcome: AttackOutcome | TargetedOutcome) -> None:
            for line in outcome_lines(outcome):
                screen.line(line)

        screen.at(0, pace.total)
        outcome = measure(model, x, y, attacks=unique, batch_size=batch_size, on_batch=moved, on_outcome=tell)
    found: list[AttackOutcome | TargetedOutcome] = [*outcome.attacks, *outcome.targeted]
    rows = {row.name: row for row in found}
    for attack, name in zip(unique, attack_names(unique), strict=True):
        row = rows[name]
        radius = {name: getattr(attack, name) for name in ("norm", "eps") if hasattr(attack, name)}
        row.details = {**row.details, **radius}
    return replace(outcome, label=target.label)
