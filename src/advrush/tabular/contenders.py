"""Methods compared on a table: searches, random choice, the largest network."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args, get_type_hints

import numpy as np

from advrush import config as configs
from advrush.config import did_you_mean
from advrush.errors import ConfigError
from advrush.searching import SearchConfig
from advrush.tabular.network_size import parameters_of_rows
from advrush.tabular.table import Row, Table

LARGEST, RANDOM = "largest", "random"
SHORT = {"gamma": "curvature.gamma", "h": "curvature.h"}
"""Fields of a search that may be named without their group."""


@dataclass(frozen=True)
class Contender:
    """One method of a comparison, by the word that named it."""

    label: str
    search: SearchConfig | None = None
    """What it searches with, its seed not yet set; None: it chooses among the rows."""
    samples: int = 0
    """Rows that it draws at random and keeps the best of; 0: it takes the row with the most parameters."""

    @property
    def is_deterministic(self) -> bool:
        """Tell whether it finds the same with every seed."""
        return self.search is None and self.samples == 0

    def choose(self, table: Table, measure: str, seed: int, sizes: tuple[int | None, int | None]) -> Row:
        """Return the row that a contender without a search takes; `sizes` are channels and layers of the networks."""
        rows = table.with_measure(measure)
        if self.samples == 0:
            counts = parameters_of_rows(rows, *sizes)
            return rows[counts.index(max(counts))]
        drawn = np.random.default_rng(seed).choice(len(rows), min(self.samples, len(rows)), replace=False)
        values = [rows[i].measured[measure] for i in drawn]
        return rows[int(drawn[values.index(max(values))])]


def contenders(words: Sequence[str], base: SearchConfig) -> list[Contender]:
    """Return the contenders that words name; `random` and `largest` are added where they are missing.

    A word is `random`, `largest`, `best-of-N` (the best of N rows drawn at random: what N trainings and attacks would
    find), or an objective of a search, perhaps with fields of its own: `advrush:gamma=0.1:epochs=20`. Everything else
    of a search is that of `base`. Raises ConfigError for any other word, and for one that is named twice.
    """
    found = {word: _contender(word, base) for word in words}
    if len(found) < len(words):
        twice = next(word for word in words if list(words).count(word) > 1)
        raise ConfigError(f"searches: {twice!r} is named twice")
    for word in (RANDOM, LARGEST):
        found.setdefault(word, _contender(word, base))
    return list(found.values())


def _contender(word: str, base: SearchConfig) -> Contender:
    if word == LARGEST:
        return Contender(word)
    if word == RANDOM:
        return Contender(word, samples=1)
    if match := re.fullmatch(r"best-of-(\d+)", word):
        if int(match[1]) < 1:
            raise ConfigError(f"searches: got {word!r}; expected best-of-N with N at least 1")
        return Contender(word, samples=int(match[1]))
    objective, *settings = word.split(":")
    known = get_args(get_type_hints(SearchConfig)["objective"])
    if objective not in known:
        words = (*known, RANDOM, LARGEST, "best-of-20")
        raise ConfigError(
            f"searches: got {objective!r}{did_you_mean(objective, words)}; expected some of {', '.join(words)}"
        )
    values = configs.to_dict(base) | {"objective": objective, "name": f"{base.name}-{_file_name(word)}"}
    if objective != "darts_second_order":
        values.pop("mixed_derivative", None)
    for setting in settings:
        _set(values, setting, word)
    if objective == "darts":  # it has no phase of its own after the warm-up
        values["warmup_epochs"] = 0
    return Contender(word, configs.from_dict(SearchConfig, values, where=f"searches: {word}"))


def _set(values: dict[str, Any], setting: str, word: str) -> None:
    """Put `field=value` into nested plain values; the value is read as TOML, or else as a word."""
    name, equals, text = setting.partition("=")
    if not equals or not name:
        raise ConfigError(f"searches: {word!r}: got {setting!r}; expected field=value, as in advrush:gamma=0.1")
    path = SHORT.get(name, name).split(".")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    group = values
    for part in path[:-1]:
        inner = group.setdefault(part, {})
        if not isinstance(inner, dict):
            raise ConfigError(f"searches: {word!r}: {name!r} is no field of a search")
        group = inner
    group[path[-1]] = value


def _file_name(word: str) -> str:
    return re.sub(r"[^\w.]+", "-", word)


def with_seed(contender: Contender, seed: int) -> SearchConfig:
    """Return the configuration of a contender's search with its seed."""
    assert contender.search is not None, "a contender that searches"
    return replace(contender.search, seed=seed)


def cost(contender: Contender, found: Mapping[str, Any]) -> str:
    """Return what one find costs, in words."""
    if contender.search is not None:
        return f"{found['seconds']:.0f} s of search"
    return "no training" if contender.samples < 2 else f"{contender.samples} trainings and attacks"
