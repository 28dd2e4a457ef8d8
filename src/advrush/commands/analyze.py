"""`advrush analyze WHAT NAME|RUN ...`: the stages that `commands.help` lists."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from typing import Any

from advrush import analysis, parallel, report
from advrush.commands.addresses import runs_of
from advrush.commands.evaluate import on_other_data
from advrush.commands.help import HELP
from advrush.commands.opening import data_line, device_line, open_with
from advrush.commands.options import Launch, parse, take_positionals
from advrush.commands.output import print_json, printed_config, runs_as_json
from advrush.commands.own_data import settle_for
from advrush.config import did_you_mean
from advrush.errors import ConfigError
from advrush.evaluation.trained_data import data_of
from advrush.progress import plain_console, to_width
from advrush.report.tables import architecture_table
from advrush.run import Run

Found = tuple[list[Run], bool]
"""Finished runs (none where only the configuration was asked for), and whether they are printed as JSON."""


def analyze(arguments: list[str]) -> None:
    """Measure why architectures are robust; print the numbers and where the report is."""
    what, rest = (arguments[0], arguments[1:]) if arguments else ("", [])
    known = [key.partition(" ")[2] for key in HELP if key.startswith("analyze ")]
    if what not in known:
        hint = did_you_mean(what, known) if what else ""
        raise ConfigError(f"analyze: got {what or 'nothing'}{hint}; expected {', '.join(known)}, then runs or names")
    targets, options = take_positionals(rest, f"analyze {what}")
    targets = runs_of(targets, options)
    if not targets:
        raise ConfigError(f"analyze {what}: name at least one run, as in `advrush analyze {what} RUN`")
    own = {"architecture": _architecture, "path": _path}
    runs, as_json = own[what](targets, options) if what in own else _each(what, targets, options)
    if not runs:  # the configuration alone was asked for
        return
    if parallel.is_main():
        page = report.write_report(
            runs[0].path / "report.html", title=f"Analysis: {what}", runs=[run.path for run in runs]
        )
        if as_json:
            print_json(runs_as_json(runs, page))
            return
        console = plain_console()
        for run in runs:
            console.print(to_width(report.outcome(run.path, found=run.found), console))
            if what == "architecture":
                plain_console(wrap=True).print(
                    report.on_terminal(architecture_table(run.result()["rows"]).transposed())
                )
            console.print(f"run     {run.path}")
        console.print(f"report  {page}")


def _architecture(targets: Sequence[str], options: list[str]) -> Found:
    config, launch = parse("analyze architecture", analysis.ArchitectureConfig(), Launch(), options)
    if printed_config(config, launch):
        return [], False
    run = analysis.analyze_architecture(targets, config, runs_dir=launch.runs_dir, display=launch.shows)
    return [run], launch.json


def _path(targets: Sequence[str], options: list[str]) -> Found:
    if len(targets) != 2:
        raise ConfigError(f"analyze path: got {len(targets)} networks; expected a standard and an adversarial training")
    config, launch = _settled("path", targets[0], options)
    if printed_config(config, launch):
        return [], False
    standard, adversarial = targets
    _open(config, launch, f"from {standard} to {adversarial}")
    return [analysis.analyze_path(standard, adversarial, config, **launch.stage_options)], launch.json


def _each(what: str, targets: Sequence[str], options: list[str]) -> Found:
    """Run a stage that takes one network on each target."""
    config, launch = _settled(what, targets[0], options)
    if printed_config(config, launch):
        return [], False
    stage = _named(HELP[f"analyze {what}"].call)
    runs = []
    for target in targets:
        _open(config, launch, target)
        runs.append(stage(target, config, **launch.stage_options))
    return runs, launch.json


def _open(config: Any, launch: Launch, networks: str) -> None:
    """Say what is measured, on what."""
    if launch.shows and parallel.is_main():
        data = data_line(config.data.load(launch.data_dir), training=False)
        open_with(launch, {"data": data, "network": networks, "device": device_line(launch.device)})


def _settled(what: str, target: str, options: list[str]) -> tuple[Any, Launch]:
    """Return configuration and launch of an analysis of a network, by default on the network's own data."""
    default = _named(HELP[f"analyze {what}"].configs[0])()
    if data := data_of(target):
        default = replace(default, data=on_other_data(data, options))
    config, launch = parse(f"analyze {what}", default, Launch(), options)
    return settle_for(config, launch, options, target)


def _named(reference: str) -> Any:
    """Return what a text such as `analysis.config.PathConfig` names."""
    module, _, name = reference.rpartition(".")
    return getattr(import_module(f"advrush.{module}"), name)
