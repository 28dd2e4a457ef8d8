"""`advrush transfer RUN RUN ...`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rich.table import Table

from advrush import parallel, report
from advrush.commands.addresses import runs_of
from advrush.commands.evaluate import on_other_data
from advrush.commands.opening import data_line, device_line, open_with, run_line
from advrush.commands.options import Launch, parse, take_positionals
from advrush.commands.output import print_json, printed_config, runs_as_json
from advrush.commands.own_data import settle_for
from advrush.config import radius_text
from advrush.errors import ConfigError
from advrush.evaluation import TransferConfig, as_target
from advrush.evaluation import transfer as transfer_stage
from advrush.evaluation.targets import Target
from advrush.evaluation.trained_data import data_of
from advrush.evaluation.transfer_stage import transferred
from advrush.models.count import parameters
from advrush.progress import plain_console
from advrush.run import Run


def transfer(arguments: list[str]) -> None:
    """Attack every network with the examples made on every network; print the matrix."""
    targets, rest = take_positionals(arguments, "transfer")
    targets = runs_of(targets, rest)
    if len(targets) < 2:
        raise ConfigError("transfer: name at least two training runs, weights files or python:MODULE:FACTORY")
    default = TransferConfig()
    if targets and (data := data_of(targets[0])):
        default = replace(default, data=on_other_data(data, rest))
    config, launch = parse("transfer", default, Launch(), rest)
    config, launch = settle_for(config, launch, rest, targets[0])
    if printed_config(config, launch):
        return
    found = [as_target(target) for target in targets]
    if launch.shows and parallel.is_main():
        open_with(launch, _opening(found, config, launch))
    run = transfer_stage(found, config, **launch.stage_options)
    if not parallel.is_main():
        return
    _tell(run, config, launch)


def _opening(found: Sequence[Target], config: TransferConfig, launch: Launch) -> dict[str, str]:
    """Return what is said at the start: images, networks, attack, device and folder."""
    about = replace(config, models=transferred(found))
    networks = {
        f"[{number}]": f"{one.label}, {parameters(one.model):,} parameters" for number, one in enumerate(found, start=1)
    }
    return {
        "data": data_line(config.data.load(launch.data_dir), training=False),
        **networks,
        "attack": f"{config.attack}; {radius_text(config.norm, config.eps)}",
        "device": device_line(launch.device),
        "run": run_line(launch, "transfer", about),
    }


def _tell(run: Run, config: TransferConfig, launch: Launch) -> None:
    """Print the matrix."""
    if launch.json:
        print_json(runs_as_json([run], None))
        return
    result = run.result()
    console = plain_console(wrap=True)
    table = Table(box=None)
    for column in ("source", *(f"[{number}]" for number in range(1, len(result["models"]) + 1))):
        table.add_column(column, justify="left" if column == "source" else "right")
    table.add_row("clean", *(f"{100 * value:.2f}" for value in result["clean"]))
    for number, (label, row) in enumerate(zip(result["models"], result["matrix"], strict=True), start=1):
        table.add_row(f"[{number}] {label}", *(f"{100 * value:.2f}" for value in row))
    console.print(
        f"accuracy in percent of network [n] under {result['attack']} examples of the row's "
        f"({config.norm}, eps {config.eps:.4g}, {result['examples']:,} images)"
    )
    if run.found:
        console.print(report.outcome(run.path, found=True))
    console.print(table)
    console.print(f"run     {run.path}", soft_wrap=True)
