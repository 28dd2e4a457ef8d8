"""Recipes and typed overrides: a TOML file gives the defaults, every field of it is an option."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, TypeVar, cast

import tyro

from advrush import config as configs
from advrush.errors import ConfigError

T = TypeVar("T")
L = TypeVar("L")


@dataclass(frozen=True)
class Launch:
    """Where and how a command runs; not part of a run's configuration."""

    data_dir: Path | None = None
    """Folder of the data set (archives, parquet files, npz or class folders); `hub` asks the Hugging Face hub."""
    runs_dir: Path = Path("runs")
    """Folder of the run directories."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    quiet: bool = False
    """Print results only."""


def recipes(stage: str) -> dict[str, Path]:
    """Return the recipes of a stage that come with the package, by name."""
    folder = Path(str(resources.files("advrush"))) / "recipes" / stage
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def read_recipe(stage: str, cls: type[T], name: str) -> T:
    """Return the configuration of a recipe's name or of a TOML file's path; ConfigError with a suggestion if none."""
    known = recipes(stage)
    if name in known:
        return configs.load(cls, known[name])
    if Path(name).is_dir() and (Path(name) / "config.toml").is_file():
        return configs.load(cls, Path(name) / "config.toml")
    if name.endswith(".toml") or Path(name).is_file():
        return configs.load(cls, Path(name))
    hint = configs.did_you_mean(name, known) or ""
    raise ConfigError(f"unknown {stage} recipe '{name}'{hint}; known: {', '.join(known)}, or the path of a TOML file")


def take_positionals(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Split leading words from the options that follow."""
    count = next((i for i, word in enumerate(arguments) if word.startswith("-")), len(arguments))
    return arguments[:count], arguments[count:]


def one_recipe(stage: str, words: list[str], arguments: list[str]) -> str:
    """Return the recipe that the words name; with --help alone, any will do."""
    if len(words) == 1:
        return words[0]
    known = ", ".join(recipes(stage))
    if not words and not {"-h", "--help"} & set(arguments):
        raise ConfigError(f"{stage}: name a recipe ({known}) or a TOML file, as in `advrush {stage} small`")
    if len(words) > 1:
        raise ConfigError(f"{stage}: got {' '.join(words)}; expected one recipe ({known}) and then options")
    return "paper" if "paper" in recipes(stage) else next(iter(recipes(stage)))


def parse(usage: str, default: T, launch: L, arguments: list[str], description: str) -> tuple[T, L]:
    """Return configuration and launch options after the overrides `--field value`.

    tyro prints the help, refuses unknown options with suggestions, and exits with code 2 on a mistake.
    """
    flat = tyro.conf.arg(name="")
    fields: list[Any] = [
        ("config", Annotated[type(default), flat], dataclasses.field(default=default)),
        ("launch", Annotated[type(launch), flat], dataclasses.field(default=launch)),
    ]
    options = dataclasses.make_dataclass("Options", fields, frozen=True)
    parsed: Any = tyro.cli(
        options,
        prog=usage,
        description=description,
        args=[_normal(word) for word in arguments],
        config=(tyro.conf.AvoidSubcommands,),
    )
    return cast(T, parsed.config), cast(L, parsed.launch)


def _normal(word: str) -> str:
    """Return an option with dashes for underscores, and a fraction (`8/255`, also behind `=`) as a number."""
    if word.startswith("--") and "=" not in word:
        return word.replace("_", "-")
    option, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
    return f"{option}{equals}{configs.fraction(value)}"
