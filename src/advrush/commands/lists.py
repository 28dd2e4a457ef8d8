"""`advrush recipes` and `advrush list`: the names that other commands take."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from advrush.commands.fields import constant
from advrush.commands.options import recipes, words_and_options
from advrush.commands.output import print_json
from advrush.config import did_you_mean
from advrush.errors import ConfigError
from advrush.progress import folded

STAGES = ("search", "train", "evaluate")


@dataclass(frozen=True)
class ListOptions:
    """How a list is printed."""

    json: bool = False
    """Print JSON on standard output."""


def list_recipes(arguments: list[str]) -> None:
    """Print a table of the recipes, or the text of one."""
    words, options = words_and_options(arguments, "recipes", ListOptions)
    known = {f"{stage}/{name}": path for stage in STAGES for name, path in recipes(stage).items()}
    if not words:
        rows = {name: _about(path) for name, path in known.items()}
        print_json(rows) if options.json else _print(rows)
        return
    found = [name for word in words for name in known if word in (name, name.partition("/")[2])]
    if len(words) > 1 or not found:
        names = [name.partition("/")[2] for name in known]
        raise ConfigError(
            f"recipes: got {' '.join(words)}{did_you_mean(words[0], names)}; expected one of {', '.join(known)}"
        )
    texts = {name: known[name].read_text(encoding="utf-8") for name in found}
    if options.json:
        print_json(texts)
    elif len(texts) == 1:
        sys.stdout.write(texts[found[0]])
    else:
        sys.stdout.write("\n".join(f"# {name}\n{text}" for name, text in texts.items()))


def list_names(arguments: list[str]) -> None:
    """Print the architectures, attacks, data sets or search spaces that are known by name."""
    words, options = words_and_options(arguments, "list", ListOptions)
    if len(words) != 1 or words[0] not in LISTS:
        hint = did_you_mean(words[0], LISTS) if words else ""
        raise ConfigError(f"list: got {' '.join(words) or 'nothing'}{hint}; expected one of {', '.join(LISTS)}")
    rows = LISTS[words[0]]()
    print_json(rows) if options.json else _print(rows)


def _about(path: Path) -> str:
    """Return the first line of a recipe's header."""
    return path.read_text(encoding="utf-8").splitlines()[0].removeprefix("#").strip()


def _print(rows: dict[str, str]) -> None:
    """Print names and what they are: on a terminal folded at its width, elsewhere one line each."""
    width = max(map(len, rows))
    screen = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    for name, about in rows.items():
        line = f"{name:<{width}}  {about}"
        sys.stdout.write((folded(line, screen, indent=width + 2) if screen else line) + "\n")


def _architectures() -> dict[str, str]:
    from advrush.models.build import ARCHITECTURES

    return dict(ARCHITECTURES)


def attacks() -> dict[str, str]:
    """Return the names of attacks and what they are, without importing torch."""
    return dict(constant("attacks.registry", "ABOUT"))


def _data() -> dict[str, str]:
    from advrush.data import KNOWN

    sizes = {
        name: f"{known.train:,} + {known.test:,} images of {known.image_size}x{known.image_size} pixels, "
        f"{known.classes} classes"
        for name, known in KNOWN.items()
    }
    return {name: sizes.get(name, DATA[name]) for name in DATA}


def _spaces() -> dict[str, str]:
    from advrush.space import SPACES

    return {name: f"{', '.join(space.primitives)}" for name, space in SPACES.items()}


DATA = {
    "digits": "1,797 images of 8x8 pixels, 10 classes; comes with scikit-learn, no download",
    **dict.fromkeys(("cifar10", "cifar100", "svhn", "tiny_imagenet", "mnist", "fashion_mnist"), ""),
}
"""Data sets by name; sizes are read from where they are known."""
LISTS: dict[str, Callable[[], dict[str, str]]] = {
    "architectures": _architectures,
    "attacks": attacks,
    "data": _data,
    "spaces": _spaces,
}
"""What can be listed."""
