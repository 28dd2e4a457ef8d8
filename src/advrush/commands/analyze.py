"""`advrush analyze architecture|curvature|landscape|path NAME|RUN ...`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from advrush import analysis, parallel, report
from advrush.commands.addresses import runs_of
from advrush.commands.evaluate import on_other_data
from advrush.commands.options import Launch, parse, take_positionals
from advrush.commands.output import print_json, printed_config, runs_as_json
from advrush.commands.own_data import settle_for
from advrush.config import did_you_mean
from advrush.errors import ConfigError
from advrush.evaluation.trained_data import data_of
from advrush.progress import plain_console
from advrush.run import Run

Found = tuple[list[Run], bool]
"""Finished runs (none where only the configuration was asked for), and whether they are printed as JSON."""
Analysis = Callable[[Sequence[str], list[str]], Found]


def analyze(arguments: list[str]) -> None:
    """Measure why architectures are robust; print the numbers and where the report is."""
    what, rest = (arguments[0], arguments[1:]) if arguments else ("", [])
    if what not in ANALYSES:
        hint = did_you_mean(what, ANALYSES) if what else ""
        raise ConfigError(f"analyze: got {what or 'nothing'}{hint}; expected {', '.join(ANALYSES)}, then runs or names")
    targets, options = take_positionals(rest, f"analyze {what}")
    targets = runs_of(targets, options)
    if not targets:
        raise ConfigError(f"analyze {what}: name at least one run, as in `advrush analyze {what} RUN`")
    runs, as_json = ANALYSES[what](targets, options)
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
            console.print(f"run     {run.path}")
        console.print(f"report  {page}")


def _architecture(targets: Sequence[str], options: list[str]) -> Found:
    usage = "advrush analyze architecture NAME|RUN ..."
    default = analysis.ArchitectureConfig()
    config, launch = parse(usage, default, Launch(), options, "Describe architectures in one table (Table 6).")
    if printed_config(config, launch):
        return [], False
    run = analysis.analyze_architecture(targets, config, runs_dir=launch.runs_dir, display=launch.shows)
    return [run], launch.json


def _path(targets: Sequence[str], options: list[str]) -> Found:
    if len(targets) != 2:
        raise ConfigError(f"analyze path: got {len(targets)} networks; expected a standard and an adversarial training")
    default = analysis.PathConfig()
    if targets and (data := data_of(targets[0])):
        default = replace(default, data=on_other_data(data, options))
    about = "Measure curvature and adversarial loss on a curve from one network to another (Theorem 1)."
    config, launch = parse("advrush analyze path STANDARD ADVERSARIAL", default, Launch(), options, about)
    config, launch = settle_for(config, launch, options, targets[0])
    if printed_config(config, launch):
        return [], False
    standard, adversarial = targets
    run = analysis.analyze_path(
        standard, adversarial, config, data_dir=launch.data_dir, runs_dir=launch.runs_dir, device=launch.device,
        display=launch.shows,
    )  # fmt: skip
    return [run], launch.json


def _each(stage: Callable[..., Run], default: Any, usage: str, about: str) -> Analysis:
    """Return a command that runs a stage of one network on each target."""

    def run(targets: Sequence[str], options: list[str]) -> Found:
        start = default
        if targets and (data := data_of(targets[0])):
            start = replace(default, data=on_other_data(data, options))
        config, launch = parse(usage, start, Launch(), options, about)
        config, launch = settle_for(config, launch, options, targets[0])
        if printed_config(config, launch):
            return [], False
        runs = [
            stage(
                target, config, data_dir=launch.data_dir, runs_dir=launch.runs_dir, device=launch.device,
                display=launch.shows,
            )
            for target in targets
        ]  # fmt: skip
        return runs, launch.json

    return run


ANALYSES: dict[str, Analysis] = {
    "architecture": _architecture,
    "curvature": _each(
        analysis.analyze_curvature, analysis.CurvatureConfig(), "advrush analyze curvature RUN ...",
        "Measure the input Hessian's spectrum of each network.",
    ),
    "landscape": _each(
        analysis.analyze_landscape, analysis.LandscapeConfig(), "advrush analyze landscape RUN ...",
        "Measure the loss on a plane through images or weights of each network.",
    ),
    "path": _path,
}  # fmt: skip
"""What can be analyzed."""
