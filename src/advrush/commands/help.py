"""The help of each command, without importing what the command does."""

from __future__ import annotations

import shutil
import textwrap
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from advrush.commands.fields import ROOT, Field, fields_of
from advrush.config import did_you_mean
from advrush.errors import ConfigError

LAUNCH = "commands.options.Launch"


@dataclass(frozen=True)
class Help:
    """What a command is for, how it is called, what stands behind the options, examples."""

    usage: str
    about: str
    configs: tuple[str, ...] = ()
    """Dataclasses whose fields are options, as `searching.config.SearchConfig`."""
    examples: tuple[str, ...] = ()
    stage: str = ""
    """Folder of the recipes that may be named, "" where there are none."""
    call: str = ""
    """Of an analysis of one network: the function (target, config, **options), as `analysis.x_stage.analyze_x`."""

    def fields(self) -> tuple[Field, ...]:
        """Return all options."""
        return tuple(field for config in self.configs for field in fields_of(config))


HELP: Mapping[str, Help] = {
    "demo": Help(
        "advrush demo [options]",
        "Search, derive, train and attack on the handwritten digits that come with the install, and write report.html.",
        ("commands.demo.DemoLaunch",),
    ),
    "search": Help(
        "advrush search RECIPE [options]",
        "Search an architecture. RECIPE is a name of `advrush recipes` or a TOML file; each field is an option.",
        ("searching.config.SearchConfig", "commands.search.SearchLaunch"),
        ("advrush search smoke", "advrush search small --data-dir PATH --curvature.gamma 0.02 --seeds 0..3"),
        "search",
    ),
    "train": Help(
        "advrush train RECIPE --arch NAME|GENOTYPE|RUN [options]",
        "Train a network: of a published name, of a genotype's text or file, or of what a search run found.",
        ("training.config.TrainConfig", "commands.train.TrainLaunch"),
        ("advrush train smoke --arch ADVRUSH", "advrush train small --arch runs/search/small-0a1b2c3d"),
        "train",
    ),
    "evaluate": Help(
        "advrush evaluate RUN|FILE|python:MODULE:FACTORY ... [options]",
        "Attack networks and print their accuracies. A training run tells its data itself.",
        ("evaluation.config.EvaluateConfig", "commands.evaluate.EvaluateLaunch"),
        ("advrush evaluate runs/train/smoke-0a1b2c3d --attacks fgsm,pgd20,autoattack --eps 8/255",),
        "evaluate",
    ),
    "transfer": Help(
        "advrush transfer RUN RUN ... [options]",
        "Attack every network with the examples made on every network; print the matrix.",
        ("evaluation.transfer_stage.TransferConfig", LAUNCH),
    ),
    "analyze": Help(
        "advrush analyze WHAT NAME|RUN ... [options]",
        "See why a network is robust. WHAT is one of:\n"
        "  architecture  counts of operations, width, depth, sizes, robustness scores in one table (Table 6)\n"
        "  curvature     lambda_max, Frobenius norm, trace, L_lambda of the input Hessian, image by image\n"
        "  landscape     the loss on a plane through the images or the weights (Figure 3)\n"
        "  path          curvature and adversarial loss between two trainings of one architecture (Theorem 1)\n"
        "`advrush analyze WHAT --help` explains the options.",
    ),
    "analyze architecture": Help(
        "advrush analyze architecture NAME|RUN ... [options]",
        "Describe architectures in one table (Table 6).",
        ("analysis.config.ArchitectureConfig", LAUNCH),
    ),
    "analyze curvature": Help(
        "advrush analyze curvature RUN ... [options]",
        "Measure the input Hessian's spectrum of each network.",
        ("analysis.config.CurvatureConfig", LAUNCH),
        call="analysis.curvature_stage.analyze_curvature",
    ),
    "analyze landscape": Help(
        "advrush analyze landscape RUN ... [options]",
        "Measure the loss on a plane through images or weights of each network.",
        ("analysis.config.LandscapeConfig", LAUNCH),
        call="analysis.landscape_stage.analyze_landscape",
    ),
    "analyze path": Help(
        "advrush analyze path STANDARD ADVERSARIAL [options]",
        "Measure curvature and adversarial loss on a curve from one network to another (Theorem 1).",
        ("analysis.config.PathConfig", LAUNCH),
    ),
    "benchmark": Help(
        "advrush benchmark TABLE --measure COLUMN [options]",
        "Judge searches by a table (CSV) in which the accuracy of architectures is written: what they find, what "
        "chance and the largest network find, ranks and regret. With `--predictors all` in place of `--searches`: "
        "whether scores of networks foretell what the table says (`advrush benchmark predictors --help`).",
        ("tabular.config.BenchmarkConfig", "commands.benchmark.BenchmarkLaunch"),
        ("advrush benchmark nb201.csv --measure 'cifar10#pgd' --searches advrush:gamma=0.1,darts,best-of-20",),
    ),
    "benchmark predictors": Help(
        "advrush benchmark predictors TABLE --measure COLUMN [options]",
        "Judge scores of networks by a table: whether L_lambda, exact curvature or training-free scores rank as it "
        "does, beyond what counting parameters and convolutions tells.",
        ("tabular.predictors_config.PredictorsConfig", "commands.benchmark.PredictorsLaunch"),
        ("advrush benchmark predictors open.csv --measure robust_acc --network.channels 16 --network.layers 8",),
    ),
    "import": Help(
        "advrush import FILE --arch NAME [options]",
        "Read a checkpoint in the layout of the published DARTS and AdvRush code.",
        ("commands.exchange.ImportOptions",),
        ("advrush import model_best.pth.tar --arch ADVRUSH --normalize cifar10 --out advrush.safetensors",),
    ),
    "export": Help(
        "advrush export RUN|FILE [options]",
        "Write a trained network for other programs, checked against the network itself; or an evaluation as a record "
        "of RobustBench's leaderboard.",
        ("commands.exchange.ExportOptions",),
        (
            "advrush export runs/train/smoke-0a1b2c3d --out model.onnx",
            "advrush export runs/evaluate/evaluation-0a1b2c3d --out record.json",
        ),
    ),
    "leaderboard": Help(
        "advrush leaderboard RUN|FOLDER ... [options]",
        "Rank finished evaluations by robust accuracy: a page, and JSON in the form of RobustBench's records, with "
        "costs. Only networks that were attacked alike, on the same images, are ranked against each other.",
        ("commands.leaderboard.LeaderboardOptions",),
        ("advrush leaderboard runs", "advrush leaderboard runs/evaluate --out board"),
    ),
    "report": Help(
        "advrush report RUN|FOLDER ... [options]",
        "Write one page of runs, or of all runs in a folder.",
        ("commands.inspect.ReportOptions",),
        ("advrush report runs --out all.html",),
    ),
    "show": Help(
        "advrush show NAME|FILE|GENOTYPE|RUN [ANOTHER] [options]",
        "Print a genotype or a run; compare two; or draw cells into a file.",
        ("commands.inspect.ShowOptions",),
        ("advrush show ADVRUSH", "advrush show ADVRUSH PDARTS", "advrush show ADVRUSH --out cells.pdf"),
    ),
    "runs": Help(
        "advrush runs [FOLDER] [options]",
        "List the runs in a folder (`runs` unless given) at any depth, the newest first.",
        ("commands.inspect.RunsOptions",),
    ),
    "recipes": Help(
        "advrush recipes [NAME] [options]",
        "List the recipes, or print one: the TOML text is the start of a recipe of your own.",
        ("commands.lists.ListOptions",),
        ("advrush recipes", "advrush recipes small", "advrush recipes train/small > mine.toml"),
    ),
    "list": Help(
        "advrush list architectures|attacks|data|spaces [options]",
        "List the names that other commands take.",
        ("commands.lists.ListOptions",),
    ),
    "reproduce": Help(
        "advrush reproduce TABLE|FIGURE ...|all [options]",
        "Run what tables and figures of the paper lack, and write them beside the printed numbers: table1 to table6, "
        "tableA2, tableA3, fig1, fig2, fig3, figA1, figA2_A3, figA4_A5, figA6. Interrupted, the same command goes on.",
        ("commands.reproduce.ReproduceOptions",),
        (
            "advrush reproduce all --scale smoke",
            "advrush reproduce table1 --scale small --data-dir PATH --plan",
            "advrush reproduce table1 --scale small --data-dir PATH --add runs/search/mine-0a1b2c3d",
        ),
    ),
    "completion": Help(
        "advrush completion bash|zsh|fish",
        "Print a script that completes commands, options and names in a shell.",
        (),
        ('eval "$(advrush completion bash)"', "advrush completion fish > ~/.config/fish/completions/advrush.fish"),
    ),
}
"""Each command; those of `analyze` also with what is analyzed."""


def wanted(name: str, arguments: Sequence[str]) -> bool:
    """Return whether the words behind a command ask for a help that is written here."""
    return name in HELP and bool({"-h", "--help"} & set(arguments))


def help_text(name: str, arguments: Sequence[str] = (), *, width: int | None = None) -> str:
    """Return the help of a command, with the defaults of the recipe that the arguments name.

    `width` is that of the lines in characters, the terminal's unless given. Raises ConfigError for an unknown recipe.
    """
    words = [word for word in arguments if not word.startswith("-")]
    key = f"{name} {words[0]}" if words and f"{name} {words[0]}" in HELP else name
    found = HELP[key]
    width = width or min(shutil.get_terminal_size((80, 24)).columns, 120)
    lines = [f"usage: {found.usage}", ""]
    for line in found.about.split("\n"):
        lines += textwrap.wrap(line, width, subsequent_indent=" " * (16 if line.startswith("  ") else 0)) or [""]
    values = _recipe_values(found, words)
    groups: dict[str, list[Field]] = {}
    for field in found.fields():
        groups.setdefault(field.group, []).append(field)
    for group, members in groups.items():
        part = members[0].name.rpartition(".")[0]
        lines += ["", *textwrap.wrap(f"options of {part}: {group}" if part else "options:", width)]
        for field in members:
            lines += _lines(field, values.get(field.name, field.default), width)
    if found.examples:
        lines += ["", "examples:", *(_example(example, width) for example in found.examples)]
    return "\n".join(lines) + "\n"


def _example(command: str, width: int) -> str:
    """Return a command that can be pasted, continued before an option where it is longer than a line."""
    lines = [""]
    for part in command.replace(" --", "\n --").split("\n"):
        if lines[-1] and len(lines[-1]) + len(part) > width - 4:
            lines.append("   ")
        lines[-1] += part
    return "  " + " \\\n  ".join(lines)


def _recipe_values(found: Help, words: Sequence[str]) -> dict[str, Any]:
    """Return the fields that the named recipe sets, by dotted name."""
    if not found.stage or not words or found.stage == "evaluate":
        return {}
    folder = ROOT / "recipes" / found.stage
    known = {path.stem: path for path in folder.glob("*.toml")}
    if words[0] not in known:
        if words[0].endswith(".toml") or "/" in words[0]:
            return {}
        hint = did_you_mean(words[0], known) or f"; known: {', '.join(sorted(known))}"
        raise ConfigError(f"unknown {found.stage} recipe '{words[0]}'{hint}")
    return dict(_flat(tomllib.loads(known[words[0]].read_text(encoding="utf-8"))))


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _lines(field: Field, default: Any, width: int) -> list[str]:
    name = f"{field.option}, --{_negated(field)}" if field.is_flag else f"{field.option} {value_of(field)}"
    heads = textwrap.wrap(name, width, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False)
    shown = "" if default is None or default == "" or default == () else f" (default: {_shown(default)})"
    return [*heads, *textwrap.wrap(field.about + shown, width, initial_indent=" " * 6, subsequent_indent=" " * 6)]


def _negated(field: Field) -> str:
    head, dot, tail = field.option.removeprefix("--").rpartition(".")
    return f"{head}{dot}no-{tail}"


def value_of(field: Field) -> str:
    """Return what stands for an option's value: `INT`, `{float32,float64}`, `PATH`, `WORD ...`."""
    if field.choices:
        return "{" + ",".join(field.choices) + "}"
    plain = field.kind.removeprefix("tuple[").removesuffix(", ...]")
    names = {"int": "INT", "float": "NUMBER", "str": "WORD", "bool": ""}
    return names.get(plain, plain.upper()) + (" ..." if field.takes_many else "")


def _shown(default: Any) -> str:
    if isinstance(default, tuple | list):
        return " ".join(map(str, default))
    return {True: "yes", False: "no"}[default] if isinstance(default, bool) else str(default)
