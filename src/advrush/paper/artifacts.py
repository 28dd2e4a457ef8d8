"""The paper's tables and figures as data: rows (architectures), columns (measures), searches."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import resources
from typing import Any, Literal

from advrush.config import did_you_mean
from advrush.errors import ConfigError

Kind = Literal["table", "transfer", "scatter", "searches", "landscapes", "cells", "steps"]
Recipe = Literal["standard", "adversarial"]


@dataclass(frozen=True)
class Row:
    """An architecture of a table: a published name or genotype, or what a search finds."""

    key: str
    label: str
    arch: str | None = None
    search: str | None = None
    """Name of the search in artifacts.toml; one of `arch` and `search` is None."""
    dataset: str = "cifar10"
    """The paper's data set; a scale says which images stand for it."""
    changes: tuple[tuple[str, str], ...] = ()
    """Changes of a training by recipe, as TOML text: a named control."""


@dataclass(frozen=True)
class Column:
    """A measure: of the architecture alone, or of the network that `recipe` trains."""

    key: str
    label: str
    measure: str
    """clean, an attack, hrs:ATTACK, parameters, count:OPERATION, width:CELL or depth:CELL."""
    group: str = ""
    recipe: Recipe | None = None

    @property
    def is_accuracy(self) -> bool:
        """Return whether the measure is a share of examples or HRS: in percent, more is better."""
        return self.recipe is not None


@dataclass(frozen=True)
class Artifact:
    """One table or figure."""

    key: str
    title: str
    kind: Kind
    rows: tuple[Row, ...] = ()
    columns: tuple[Column, ...] = ()
    searches: tuple[str, ...] = ()


@dataclass(frozen=True)
class Paper:
    """All artifacts, rows and searches by name."""

    artifacts: Mapping[str, Artifact] = field(repr=False)
    rows: Mapping[str, Row] = field(repr=False)
    searches: Mapping[str, Mapping[str, Any]] = field(repr=False)

    def artifact(self, name: str) -> Artifact:
        """Return a table or figure by name: `table1`, `figA6`, also as the paper writes it, `Figure A6`.

        Raises ConfigError with a suggestion.
        """
        plain = {alias: key for key in self.artifacts for alias in _aliases(key)}
        wanted = _plain(name).replace("figure", "fig")
        if wanted not in plain:
            hint = did_you_mean(name, self.artifacts) or f"; known: {', '.join(self.artifacts)}, all"
            raise ConfigError(f"reproduce: unknown table or figure {name!r}{hint}")
        return self.artifacts[plain[wanted]]

    def select(self, names: Sequence[str], added: Sequence[Row] = ()) -> list[Artifact]:
        """Return the artifacts by name (`all`: every one), with further rows in each table of architectures."""
        wanted = self.artifacts.values() if "all" in names else map(self.artifact, _joined(names))
        return [_with_rows(one, added) for one in {each.key: each for each in wanted}.values()]


def _joined(names: Sequence[str]) -> Iterator[str]:
    """Yield the names, `Table` and `1` as one."""
    words = list(names)
    while words:
        word = words.pop(0)
        yield f"{word} {words.pop(0)}" if word.lower() in ("table", "figure", "fig") and words else word


def _aliases(key: str) -> Iterator[str]:
    """Yield what a table or figure is called: figA2_A3 also figA2 and figA3."""
    yield _plain(key)
    first, *others = key.split("_")
    if others:
        yield from (_plain(each) for each in (first, *(f"fig{other}" for other in others)))


def _with_rows(artifact: Artifact, added: Sequence[Row]) -> Artifact:
    """Return the artifact with the rows appended, for each of its data sets."""
    if not artifact.rows or not added:
        return artifact
    datasets = list(dict.fromkeys(row.dataset for row in artifact.rows))
    several = len(datasets) > 1 or artifact.rows[0].key.startswith(f"{datasets[0]}/")
    known = {row.key for row in artifact.rows}
    rows = list(artifact.rows)
    for dataset in datasets:
        for row in added:
            key = f"{dataset}/{row.key}" if several else row.key
            if key not in known:
                rows.append(replace(row, key=key, dataset=dataset))
    order = {dataset: place for place, dataset in enumerate(datasets)}
    return replace(artifact, rows=tuple(sorted(rows, key=lambda row: order[row.dataset])))


def chosen_rows(artifacts: Sequence[Artifact], names: Sequence[str]) -> Iterator[str]:
    """Yield the keys of the rows and searches that are meant: by key, on every data set or one, or by label.

    Raises ConfigError for a name that none of the artifacts has.
    """
    known = [(row.key, {row.key, row.key.rpartition("/")[2], row.label}) for one in artifacts for row in one.rows]
    known += [(name, {name}) for one in artifacts for name in one.searches]
    for name in names:
        found = [key for key, called in known if _plain(name) in map(_plain, called)]
        if not found:
            keys = list(dict.fromkeys(key for key, _ in known))
            where = ", ".join(one.key for one in artifacts)
            raise ConfigError(f"rows: got {name!r}{did_you_mean(name, keys)}; rows of {where}: {', '.join(keys)}")
        yield from found


def _plain(name: str) -> str:
    """Return a name without what people write in different ways: ResNet-18, resnet18, RESNET_18; Fig. 1, fig1."""
    return re.sub(r"[\s_-]|\.(?!\d)", "", name).lower()


@cache
def paper() -> Paper:
    """Read artifacts.toml."""
    text = resources.files("advrush.paper").joinpath("artifacts.toml").read_text(encoding="utf-8")
    raw = tomllib.loads(text)
    rows = {key: _row(key, value) for key, value in raw["rows"].items()}
    columns = {key: Column(key, **value) for key, value in raw["columns"].items()}
    artifacts = {}
    for key, value in raw["artifacts"].items():
        named = [rows[name] for name in value.get("rows", ())]
        if datasets := value.get("datasets"):
            named = [replace(row, key=f"{each}/{row.key}", dataset=each) for each in datasets for row in named]
        artifacts[key] = Artifact(
            key,
            value["title"],
            value["kind"],
            tuple(named),
            tuple(columns[name] for name in value.get("columns", ())),
            tuple(value.get("searches", ())),
        )
    return Paper(artifacts, rows, raw["searches"])


def _row(key: str, value: Mapping[str, Any]) -> Row:
    from tomli_w import dumps

    changes = tuple((recipe, dumps(value[recipe])) for recipe in ("standard", "adversarial") if recipe in value)
    return Row(key, value["label"], value.get("arch"), value.get("search"), changes=changes)
