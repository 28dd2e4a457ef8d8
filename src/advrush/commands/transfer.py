"""`advrush transfer RUN RUN ...`."""

from __future__ import annotations

from dataclasses import replace

from rich.table import Table

from advrush import parallel, report
from advrush.commands.addresses import runs_of
from advrush.commands.evaluate import on_other_data
from advrush.commands.options import Launch, parse, take_positionals
from advrush.commands.output import print_json, printed_config, runs_as_json
from advrush.commands.own_data import settle_for
from advrush.errors import ConfigError
from advrush.evaluation import TransferConfig
from advrush.evaluation import transfer as transfer_stage
from advrush.evaluation.trained_data import data_of
from advrush.progress import plain_console


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
    run = transfer_stage(targets, config, **launch.stage_options)
    if not parallel.is_main():
        return
    if launch.json:
        print_json(runs_as_json([run], None))
        return
    result = run.result()
    console = plain_console(wrap=True)
    table = Table(box=None)
    for column in ("source", *(f"[{number}]" for number in range(1, len(targets) + 1))):
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
