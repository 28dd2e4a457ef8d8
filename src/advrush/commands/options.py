"""Recipes and typed overrides: a TOML file gives the defaults, every field of it is an option."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, TypeVar, cast

import tyro

from advrush import config as configs
from advrush.commands.fields import Field
from advrush.commands.help import HELP
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
    json: bool = False
    """Print the results as JSON, and nothing else, on standard output."""
    print_config: bool = False
    """Print the configuration as TOML, a recipe that repeats the run, and stop."""

    @property
    def shows(self) -> bool:
        """Return whether progress is shown."""
        return not (self.quiet or self.json)

    @property
    def stage_options(self) -> dict[str, Any]:
        """Return what every stage takes: where the data and the runs are, on which device, whether it shows itself."""
        return {"data_dir": self.data_dir, "runs_dir": self.runs_dir, "device": self.device, "display": self.shows}


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


def take_positionals(arguments: list[str], command: str) -> tuple[list[str], list[str]]:
    """Split targets from options, which may stand before or behind them.

    An option of several values (`--attacks fgsm pgd20`) takes all words that follow where a target stands before it;
    else the first, and further ones that are numbers where numbers are meant.
    """
    fields = {field.option: field for field in HELP[command].fields()}
    targets: list[str] = []
    options: list[str] = []
    words = list(arguments)
    while words:
        word = words.pop(0)
        if word == "--":
            targets += words
            break
        if not word.startswith("-") or word == "-":
            targets.append(word)
            continue
        options.append(word)
        field = fields.get(_normal(word))
        if "=" in word or word in ("-h", "--help"):
            continue
        if _is_flag(word, fields):
            options += [words.pop(0)] if words and words[0] in ("True", "False", "None") else []
            continue
        options += words[:1] if field or (words and not words[0].startswith("-")) else []
        words = words[1:] if field or (words and not words[0].startswith("-")) else words
        while field and field.takes_many and words and _belongs(words[0], field, bool(targets)):
            options.append(words.pop(0))
    return targets, options


def words_and_options(
    arguments: list[str], command: str, cls: type[T], *, one: str | None = None
) -> tuple[list[str], T]:
    """Return the words and the options of a command that has no configuration; tyro refuses unknown options.

    `one` says what the word is where there must be exactly one; ConfigError for none or more.
    """
    words, rest = take_positionals(arguments, command)
    if one is not None and len(words) != 1:
        raise ConfigError(f"{command}: expected one {one}")
    return words, tyro.cli(cls, prog=f"advrush {command}", args=rest)


def _is_flag(word: str, fields: Mapping[str, Field]) -> bool:
    name = _normal(word)
    head, _, tail = name.removeprefix("--").rpartition(".")
    plain = f"--{head}.{tail.removeprefix('no-')}" if head else f"--{tail.removeprefix('no-')}"
    return any(key in fields and fields[key].is_flag for key in (name, plain))


def _belongs(word: str, field: Field, behind_targets: bool) -> bool:
    """Return whether a word is a further value of an option of several."""
    number = configs.fraction(word).replace(".", "", 1).isdigit()
    return not word.startswith("-") and (number if "str" not in field.kind else behind_targets)


def one_recipe(stage: str, words: list[str]) -> str:
    """Return the recipe that the words name; ConfigError for none or several."""
    known = ", ".join(recipes(stage))
    if not words:
        raise ConfigError(f"{stage}: name a recipe ({known}) or a TOML file, as in `advrush {stage} small`")
    if len(words) > 1:
        raise ConfigError(
            f"{stage}: got {' '.join(words)}; expected one recipe ({known}) and then options; "
            "a name with spaces stands in quotes"
        )
    return words[0]


def parse(command: str, default: T, launch: L, arguments: list[str]) -> tuple[T, L]:
    """Return configuration and launch options of a command after the overrides `--field value`.

    tyro refuses unknown options with suggestions and exits with code 2 on a mistake.
    """
    flat = tyro.conf.arg(name="")
    fields: list[Any] = [
        ("config", Annotated[type(default), flat], dataclasses.field(default=default)),
        ("launch", Annotated[type(launch), flat], dataclasses.field(default=launch)),
    ]
    options = dataclasses.make_dataclass("Options", fields, frozen=True)
    parsed: Any = tyro.cli(
        options,
        prog=f"advrush {command}",
        args=_normalized(arguments, _options(default, launch, str), _options(default, launch, bool | None)),
        config=(tyro.conf.AvoidSubcommands,),
    )
    return cast(T, parsed.config), cast(L, parsed.launch)


def _options(default: Any, launch: Any, kind: Any) -> set[str]:
    """Return the options of the fields of a type: `str`, text or none included, or `bool | None` alone."""
    return {f"--{name}" for cls in (type(default), type(launch)) for name in _named(cls, kind)}


def _named(cls: type[Any], kind: Any, prefix: str = "") -> Iterator[str]:
    hints = typing.get_type_hints(cls)
    for field in dataclasses.fields(cls):
        hint, name = hints[field.name], f"{prefix}{field.name.replace('_', '-')}"
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            yield from _named(hint, kind, f"{name}.")
        elif hint == kind or kind in typing.get_args(hint):
            yield name


def _normalized(words: Sequence[str], texts: Collection[str], switches: Collection[str]) -> list[str]:
    """Return the words as tyro takes them; the value of an option that holds text is left as it is.

    `switches` may also be unset, so that tyro wants a value behind them: `--recompute` and `--no-recompute` get theirs.
    """
    found: list[str] = []
    before = ""
    negated = {_negated(switch): switch for switch in switches}
    for i, word in enumerate(words):
        text = word if before in texts else _normal(word)
        before = text if word.startswith("--") else ""
        if text in negated:
            found += [negated[text], "False"]
        elif text in switches and words[i + 1 : i + 2] not in (["True"], ["False"], ["None"]):
            found += [text, "True"]
        else:
            found.append(text)
    return found


def _negated(option: str) -> str:
    """Return `--a.no-b` for `--a.b`."""
    head, dot, tail = option.removeprefix("--").rpartition(".")
    return f"--{head}{dot}no-{tail}"


def _normal(word: str) -> str:
    """Return an option with dashes for underscores, and a fraction (`8/255`, also behind `=`) as a number."""
    if word.startswith("--") and "=" not in word:
        return word.replace("_", "-")
    option, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
    return f"{option}{equals}{configs.fraction(value)}"
