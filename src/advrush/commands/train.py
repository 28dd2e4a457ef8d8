"""`advrush train RECIPE --arch NAME|GENOTYPE|RUN`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from advrush import parallel, report
from advrush.commands.options import Launch, one_recipe, parse, read_recipe, take_positionals
from advrush.errors import ConfigError
from advrush.searching import derive
from advrush.training import TrainConfig
from advrush.training import train as train_stage


@dataclass(frozen=True)
class TrainLaunch(Launch):
    """Where and how a training runs."""

    track: str | None = None
    """Mirror the metrics to tensorboard, trackio or wandb (extra `track`)."""


def train(arguments: list[str]) -> None:
    """Train a network and print where it is."""
    words, rest = take_positionals(arguments)
    default = read_recipe("train", TrainConfig, one_recipe("train", words, rest))
    config, launch = parse("advrush train RECIPE", default, TrainLaunch(), rest, "Train a network.")
    config = replace(config, arch=architecture(config.arch))
    run = train_stage(
        config,
        data_dir=launch.data_dir,
        runs_dir=launch.runs_dir,
        device=launch.device,
        display=not launch.quiet,
        track=launch.track,
    )
    if not parallel.is_main():
        return
    console = Console(highlight=False, soft_wrap=True)
    page = report.write_report(run.path / "report.html", title="Training", runs=[run.path])
    console.print(f"run     {run.path}")
    console.print(f"report  {page}")
    console.print(f"next    advrush evaluate {run.path} --attacks fgsm,pgd20")


def architecture(text: str) -> str:
    """Return a name or genotype text; of a search run or a genotype file, its genotype's text.

    A configuration holds values, not paths: what is found in a file is put in the path's place.
    """
    path = Path(text) if len(text) < 1024 and "(" not in text and "{" not in text else None
    if path is not None and path.is_dir():
        return derive(path).to_json()
    if path is not None and path.suffix in (".json", ".txt"):
        try:
            return path.read_text()
        except OSError as error:
            raise ConfigError(f"arch: {text}: cannot be read ({error.strerror})") from None
    return text
