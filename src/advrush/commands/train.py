"""`advrush train RECIPE --arch NAME|GENOTYPE|RUN`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from advrush import parallel, report
from advrush.commands.addresses import run_of
from advrush.commands.opening import cost_line, data_line, device_line, open_with, run_line
from advrush.commands.options import Launch, one_recipe, parse, read_recipe, take_positionals
from advrush.commands.output import next_line, print_json, printed_config, runs_as_json
from advrush.commands.own_data import settle, typed_options
from advrush.config import check
from advrush.errors import ConfigError
from advrush.evaluation import EvaluateConfig
from advrush.evaluation.trained_data import data_of
from advrush.models.build import NO_CELLS, canonical, display_name, is_architecture, is_known
from advrush.models.count import parameters
from advrush.progress import plain_console, to_width
from advrush.searching import derive
from advrush.space import resolve
from advrush.space.files import path_of, place_of, read_text
from advrush.training import TrainConfig
from advrush.training import train as train_stage
from advrush.training.blueprint import blueprint_of


@dataclass(frozen=True)
class TrainLaunch(Launch):
    """Where and how a training runs."""

    track: str | None = None
    """Mirror the metrics to tensorboard, trackio or wandb (extra `track`)."""


def train(arguments: list[str]) -> None:
    """Train a network and print where it is."""
    words, rest = take_positionals(arguments, "train")
    recipe = one_recipe("train", words)
    default = read_recipe("train", TrainConfig, recipe)
    config, launch = parse("train", default, TrainLaunch(), rest)
    arch = architecture(config.arch)
    if resolve(arch) is None:
        canonical(arch)  # a name that is none is told before data that are not there
    config, launch = on_data(config, launch, rest)
    config = fitted(replace(config, arch=arch), rest)
    if printed_config(config, launch):
        return
    if launch.shows and parallel.is_main():
        open_with(launch, _opening(config, launch, recipe))
    run = train_stage(config, track=launch.track, **launch.stage_options)
    if not parallel.is_main():
        return
    console = plain_console()
    page = report.write_report(run.path / "report.html", title="Training", runs=[run.path])
    if launch.json:
        print_json(runs_as_json([run], page))
        return
    console.print(to_width(report.outcome(run.path, found=run.found), console))
    console.print(f"run     {run.path}")
    console.print(f"report  {page}")
    radius = [] if config.attack.eps == EvaluateConfig().eps else ["--eps", str(config.attack.eps)]
    console.print(next_line(launch, "evaluate", run.path, "--attacks", "fgsm,pgd20", *radius))


def _opening(config: TrainConfig, launch: TrainLaunch, recipe: str) -> dict[str, str]:
    """Return what is said before a training."""
    dataset = config.data.load(launch.data_dir)
    with torch.device("meta"):
        count = parameters(blueprint_of(config, dataset).build())
    known = canonical_name(config.arch)
    name = display_name(config.arch) if known else "own genotype"
    attack = config.attack
    how = "clean images" if config.objective == "standard" else f"PGD-{attack.steps} at Linf, eps {attack.eps:.4g}"
    epochs = f"{config.epochs} epoch{'' if config.epochs == 1 else 's'}"
    return {
        "data": data_line(dataset, training=True),
        "network": f"{name}, {count:,} parameters",
        "train": f"{config.objective} on {how}, {epochs} in batches of {config.batch_size}",
        "device": device_line(launch.device),
        "cost": cost_line("train", recipe),
        "run": run_line(launch, "train", config),
    }


def on_data(config: TrainConfig, launch: TrainLaunch, options: Sequence[str]) -> tuple[TrainConfig, TrainLaunch]:
    """Return configuration and launch with the data that are meant: unless others are typed, those of the search run.

    A recipe's batch and its number of held-out images are no larger than what is there.
    """
    path = path_of(run_of(config.arch))
    if launch.print_config and launch.data_dir is None and data_of(path) is None:
        return config, launch
    found = settle(config.data, launch.data_dir, options, source=path)
    typed = typed_options(options)
    held, batch = config.validation_examples, config.batch_size
    if held is not None and held > found.train // 2 and "--validation-examples" not in typed:
        held = None
    if "--batch-size" not in typed:
        batch = max(1, min(batch, found.train - replace(config, validation_examples=held).held_out(found.train)))
    part = config.micro_batch
    if part is not None and "--micro-batch" not in typed:
        part = min(part, batch)
    config = replace(config, data=found.data, validation_examples=held, batch_size=batch, micro_batch=part)
    return config, replace(launch, data_dir=found.data_dir)


def fitted(config: TrainConfig, options: Sequence[str]) -> TrainConfig:
    """Return the configuration without what its recipe says of cells, where the network has none.

    A recipe's depth, auxiliary head and drop path are for networks of cells; the options that were typed are kept, and
    refused where the network cannot have them.
    """
    if canonical_name(config.arch) not in NO_CELLS:
        return config
    typed = typed_options(options)
    free: dict[str, Any] = {"layers": None, "auxiliary": 0.0, "drop_path": 0.0}
    return replace(config, **{n: value for n, value in free.items() if f"--{n.replace('_', '-')}" not in typed})


def canonical_name(arch: str) -> str:
    """Return the name of a known architecture, "" of any other."""
    return canonical(arch) if is_known(arch) else ""


def architecture(text: str) -> str:
    """Return a name or genotype text; of a search run or a genotype file, its genotype's text.

    A configuration holds values, not paths: what is found in a file is put in the path's place. A known name is the
    architecture, also where a file or folder is called so, unless the folder is a run.
    """
    text = run_of(text)
    path = place_of(text, is_known)
    if path is None:
        return text
    if path.is_dir():
        return derive(path).to_json()
    if path.is_file():
        text = read_text(path)
        check(is_architecture(text), "arch", str(path), "a file with a genotype or the name of an architecture")
        return text
    if path.suffix in (".json", ".txt", ".py"):
        raise ConfigError(f"arch: {text}: no such file")
    return text
