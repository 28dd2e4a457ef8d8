"""`advrush analyze architecture|curvature|landscape|path NAME|RUN ...`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from advrush import analysis, parallel, report
from advrush.commands.evaluate import data_of, on_other_data
from advrush.commands.options import Launch, parse, take_positionals
from advrush.config import did_you_mean
from advrush.errors import ConfigError
from advrush.progress import plain_console
from advrush.run import Run


def analyze(arguments: list[str]) -> None:
    """Measure why architectures are robust; print the numbers and where the report is."""
    what, rest = (arguments[0], arguments[1:]) if arguments else ("", [])
    if what in ("-h", "--help"):
        plain_console().print(USAGE, markup=False)
        return
    if what not in ANALYSES:
        hint = did_you_mean(what, ANALYSES) if what else ""
        raise ConfigError(f"analyze: got {what or 'nothing'}{hint}; expected {', '.join(ANALYSES)}, then runs or names")
    targets, options = take_positionals(rest)
    if not targets and not {"-h", "--help"} & set(options):
        raise ConfigError(f"analyze {what}: name at least one run, as in `advrush analyze {what} RUN`")
    runs = ANALYSES[what](targets, options)
    if parallel.is_main():
        page = report.write_report(
            runs[0].path / "report.html", title=f"Analysis: {what}", runs=[run.path for run in runs]
        )
        console = plain_console()
        for run in runs:
            console.print(f"run     {run.path}")
        console.print(f"report  {page}")


def _architecture(targets: Sequence[str], options: list[str]) -> list[Run]:
    usage = "advrush analyze architecture NAME|RUN ..."
    default = analysis.ArchitectureConfig()
    config, launch = parse(usage, default, Launch(), options, "Describe architectures in one table (Table 6).")
    return [analysis.analyze_architecture(targets, config, runs_dir=launch.runs_dir, display=not launch.quiet)]


def _path(targets: Sequence[str], options: list[str]) -> list[Run]:
    if len(targets) != 2 and not {"-h", "--help"} & set(options):
        raise ConfigError(f"analyze path: got {len(targets)} networks; expected a standard and an adversarial training")
    default = analysis.PathConfig()
    if targets and (data := data_of(targets[0])):
        default = replace(default, data=on_other_data(data, options))
    about = "Measure curvature and adversarial loss on a curve from one network to another (Theorem 1)."
    config, launch = parse("advrush analyze path STANDARD ADVERSARIAL", default, Launch(), options, about)
    standard, adversarial = targets
    run = analysis.analyze_path(
        standard, adversarial, config, data_dir=launch.data_dir, runs_dir=launch.runs_dir, device=launch.device,
        display=not launch.quiet,
    )  # fmt: skip
    return [run]


def _each(stage: Callable[..., Run], default: Any, usage: str, about: str) -> Callable[[Sequence[str], list[str]], Any]:
    """Return a command that runs a stage of one network on each target."""

    def run(targets: Sequence[str], options: list[str]) -> list[Run]:
        start = default
        if targets and (data := data_of(targets[0])):
            start = replace(default, data=on_other_data(data, options))
        config, launch = parse(usage, start, Launch(), options, about)
        return [
            stage(
                target, config, data_dir=launch.data_dir, runs_dir=launch.runs_dir, device=launch.device,
                display=not launch.quiet,
            )
            for target in targets
        ]  # fmt: skip

    return run


ANALYSES: dict[str, Callable[[Sequence[str], list[str]], list[Run]]] = {
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

USAGE = """usage: advrush analyze WHAT NAME|RUN ... [--field value ...]

  architecture  counts of operations, width, depth, sizes, robustness scores in one table (Table 6)
  curvature     lambda_max, Frobenius norm, trace, L_lambda of the input Hessian, image by image
  landscape     the loss on a plane through the images or the weights (Figure 3)
  path          curvature and adversarial loss between two trainings of one architecture (Theorem 1)

advrush analyze WHAT --help explains the fields."""
