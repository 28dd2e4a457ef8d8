"""The stage `evaluate`: a network on a data set's test images, its flags and accuracies in a run directory."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from advrush import parallel
from advrush.attacks import PGD, Attack, AutoAttack, Duo, FastModel, parse_attacks
from advrush.attacks.passes.chunks import predict
from advrush.attacks.passes.fast_model import exact_model
from advrush.config import radius_text
from advrush.data import DataConfig, Dataset
from advrush.errors import ModelContractError
from advrush.evaluation.config import EvaluateConfig
from advrush.evaluation.fingerprint import examine
from advrush.evaluation.lines import Pace, by_class, confusion, outcome_lines, sweep_line
from advrush.evaluation.progress import Progress
from advrush.evaluation.results import AttackOutcome, Evaluation
from advrush.evaluation.robust_accuracy import attack_names, measure
from advrush.evaluation.sanity import sanity
from advrush.evaluation.sweep import RadiusSweep, StepSweep, Sweep, points
from advrush.evaluation.targeted import TargetedOutcome
from advrush.evaluation.targets import Target, as_target
from advrush.modes import evaluating, frozen
from advrush.progress import Display
from advrush.run import Run
from advrush.stage import stage

SHOWN = 10
"""Examples kept as pictures for the report."""


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
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    dtype = getattr(torch, config.dtype)
    split = dataset.test.to(device)
    x, y = split.images.to(dtype) / 255, split.labels
    if any(p.is_floating_point() and p.dtype != dtype for p in (*model.parameters(), *model.buffers())):
        try:
            model = copy.deepcopy(model).to(dtype)  # the caller's keeps its type
        except (RuntimeError, TypeError, NotImplementedError) as error:
            raise ModelContractError(f"the model cannot be copied to {dtype}: {error}; give one of that type") from None
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
        _write(searched, x, y, config, attacks, sweeps, dataset, outcome, run, warnings=odd)


def _write(
    searched: nn.Module,
    x: Tensor,
    y: Tensor,
    config: EvaluateConfig,
    attacks: tuple[Attack, ...],
    sweeps: Mapping[Literal["steps", "eps"], Sweep],
    dataset: Dataset,
    outcome: Evaluation,
    run: Run,
    *,
    warnings: tuple[str, ...],
) -> None:
    """Write flags, examples and result of a finished evaluation."""
    flags = {"clean": outcome.clean, **{attack.name: attack.flags for attack in outcome.attacks}}
    flags |= {name: value for name, value in outcome.sweeps.items() if name not in flags}
    run.save_tensors("flags.safetensors", {name: value.to(torch.bool) for name, value in flags.items()})
    if outcome.targeted:
        kinds = ("attacked", "reached")
        run.save_tensors(
            "targeted.safetensors", {f"{kind}/{a.name}": getattr(a, kind) for a in outcome.targeted for kind in kinds}
        )
    if norms := {attack.name: attack.norms for attack in outcome.attacks if attack.norms is not None}:
        run.save_tensors("norms.safetensors", norms)
    index = torch.arange(len(x)) if dataset.test_index is None else dataset.test_index
    run.save_tensors("images.safetensors", {"index": index, "label": y})
    if broken_by := {attack.name: attack.broken_by for attack in outcome.attacks if attack.broken_by is not None}:
        run.write_json("broken_by.json", broken_by)
    with evaluating(searched), frozen(searched):
        run.save_tensors("examples.safetensors", _examples(searched, x, y, outcome, attacks))
    places = {"steps": config.sweep_steps, "eps": config.sweep_eps}
    curves = {
        kind: points(kind, places[kind], [outcome.sweeps[name] for name in sweep.names])
        for kind, sweep in sweeps.items()
    }
    result = _result(config, dataset, outcome, exact_model(searched))
    if config.sanity:
        checks = sanity(searched, x, y, outcome.clean, eps=config.eps, norm=config.norm, seed=config.seed)
        result["sanity"] = [each.to_dict() for each in checks]
    names = [attack.name for attack in outcome.attacks]
    result["by_class"] = {name: by_class(flags[name], y, dataset.num_classes) for name in ("clean", *names)}
    if config.save_examples:
        with evaluating(searched), frozen(searched):
            kept = _adversarial(exact_model(searched), x, outcome)
        run.save_tensors("adversarial.safetensors", kept | {"index": index, "label": y})
        predicted = {name.removeprefix("pred/"): value for name, value in kept.items() if name.startswith("pred/")}
        result["confusion"] = {name: confusion(y, value, dataset.num_classes) for name, value in predicted.items()}
    run.finish(result | ({"sweeps": curves} if curves else {}) | ({"warnings": list(warnings)} if warnings else {}))


def _threat_line(config: EvaluateConfig, images: int) -> str:
    return f"{images} images; attacks in {radius_text(config.norm, config.eps)}"


def _adversarial(model: nn.Module, x: Tensor, outcome: Evaluation) -> dict[str, Tensor]:
    """Return what the network says of each example, clean and after each attack, and the adversarial examples."""
    found = {"pred/clean": predict(model, x).argmax(1)}
    rows: list[AttackOutcome | TargetedOutcome] = [*outcome.attacks, *outcome.targeted]
    for attack in rows:
        assert attack.x_adv is not None
        found[f"x_adv/{attack.name}"] = attack.x_adv
        found[f"pred/{attack.name}"] = predict(model, attack.x_adv.to(x)).argmax(1)
    return found


def _examples(
    model: nn.Module, x: Tensor, y: Tensor, outcome: Evaluation, attacks: tuple[Attack, ...]
) -> dict[str, Tensor]:
    """Return a few pictures: correct examples, their adversarial versions under the strongest attack, predictions."""
    names = attack_names(attacks)
    strongest = min(outcome.attacks, key=lambda row: row.robust_acc).name if outcome.attacks else names[0]
    attack = attacks[names.index(strongest)]
    rows = outcome.clean.nonzero().flatten()[:SHOWN]
    rows = rows if len(rows) else torch.arange(min(SHOWN, len(x)))
    x_adv = attack(model, x[rows], y[rows])
    pred, pred_adv = (predict(exact_model(model), images).argmax(1) for images in (x[rows], x_adv))
    return {"x": x[rows], "x_adv": x_adv, "y": y[rows], "pred": pred, "pred_adv": pred_adv}


def _result(config: EvaluateConfig, dataset: Dataset, outcome: Evaluation, model: nn.Module) -> dict[str, Any]:
    return {
        "model": config.model,
        "weights": config.weights,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "dataset": dataset.name,
        "classes": list(dataset.classes),
        "threat_model": {"norm": config.norm, "eps": config.eps},
        "precision": {"searched": config.precision, "verified": config.dtype},
        **outcome.to_dict(),
    }
