"""`advrush evaluate RUN|FILE|python:MODULE:FACTORY`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from advrush import parallel, report
from advrush.commands.addresses import runs_of
from advrush.commands.opening import data_line, device_line, open_with, run_line
from advrush.commands.options import Launch, parse, read_recipe, take_positionals
from advrush.commands.output import check_table, print_json, printed_config, runs_as_json, write_tables
from advrush.commands.own_data import settle_for
from advrush.config import radius_text
from advrush.data import DataConfig
from advrush.errors import ConfigError
from advrush.evaluation import EvaluateConfig, ResultTable, as_target
from advrush.evaluation import evaluate as evaluate_stage
from advrush.evaluation.evaluate_stage import attacks_of
from advrush.evaluation.trained_data import data_of
from advrush.models.count import parameters
from advrush.progress import plain_console
from advrush.run import Run


@dataclass(frozen=True)
class EvaluateLaunch(Launch):
    """Where and how an evaluation runs."""

    normalize: str | None = None
    """For a network that takes normalized images: a data set (cifar10, imagenet, ...) or MEAN/STD, such as
    0.5,0.5,0.5/0.2,0.2,0.2."""
    output: str | None = None
    """For a network that returns more than logits: the key, attribute or place that holds them."""
    table: Path | None = None
    """Also write the table of accuracies into this file: .csv, .json or .tex."""
    recipe: str | None = None
    """A recipe or TOML file for the fields below, in place of the defaults."""


def evaluate(arguments: list[str]) -> None:
    """Attack networks; print their accuracies and where the report is."""
    targets, rest = take_positionals(arguments, "evaluate")
    targets = runs_of(targets, rest)
    if not targets:
        raise ConfigError("evaluate: name a training run, a weights file or python:MODULE:FACTORY")
    rest, recipe = _take_recipe(rest)
    default = read_recipe("evaluate", EvaluateConfig, recipe) if recipe else EvaluateConfig()
    if not recipe and targets and (data := data_of(targets[0])):
        default = replace(default, data=on_other_data(data, rest))
    config, launch = parse("evaluate", default, EvaluateLaunch(), rest)
    config = replace(config, attacks=tuple(name for word in config.attacks for name in word.split(",") if name))
    attacks_of(config)  # a name that is none is told before anything is loaded
    check_table(launch.table)
    config, launch = settle_for(config, launch, rest, targets[0])
    if printed_config(config, launch):
        return
    runs = [_one(target, config, launch) for target in targets]
    if not parallel.is_main():
        return
    page = report.write_report(runs[0].path / "report.html", title="Evaluation", runs=[run.path for run in runs])
    if launch.table is not None:
        write_tables(launch.table, [ResultTable.of(run.result()) for run in runs])
    if launch.json:
        print_json(runs_as_json(runs, page))
        return
    console = plain_console()
    for run in runs:
        if run.found:
            console.print("finished before, not repeated")
        console.print(f"\n{ResultTable.of(run.result())}\n")
        console.print(f"run     {run.path}")
    console.print(f"report  {page}")


def _one(text: str, config: EvaluateConfig, launch: EvaluateLaunch) -> Run:
    """Say what is attacked, attack it, return the run."""
    target = as_target(text, normalize=launch.normalize, output=launch.output)
    if launch.shows and parallel.is_main():
        about = replace(config, model=target.label, weights=target.digest)
        count = parameters(target.model)
        rows = {
            "data": data_line(config.data.load(launch.data_dir), training=False),
            "network": f"{target.label}, {count:,} parameters",
            "attacks": f"{', '.join(config.attacks)}; {radius_text(config.norm, config.eps)}",
            "device": device_line(launch.device),
            "run": run_line(launch, "evaluate", about),
        }
        open_with(launch, rows)
    run: Run = evaluate_stage(target, config, **launch.stage_options)
    return run


def on_other_data(data: DataConfig, options: list[str]) -> DataConfig:
    """Return the data without its numbers of images where the options name another data set than it was chosen for."""
    named = any(option.partition("=")[0] == "--data.dataset" for option in options)
    return replace(data, train_examples=None, test_examples=None) if named else data


def _take_recipe(arguments: list[str]) -> tuple[list[str], str | None]:
    if "--recipe" not in arguments:
        return arguments, None
    at = arguments.index("--recipe")
    if at + 1 >= len(arguments):
        raise ConfigError("recipe: got nothing; expected a recipe's name or a TOML file")
    return arguments[:at] + arguments[at + 2 :], arguments[at + 1]
