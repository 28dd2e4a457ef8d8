"""A scale: which images stand for the paper's, how large networks are, how long searches and trainings last."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from advrush import config as configs
from advrush.attacks.registry import step_size
from advrush.config import check, did_you_mean
from advrush.data import DataConfig
from advrush.errors import ConfigError
from advrush.paper.artifacts import Recipe, Row
from advrush.reading.gate import reading
from advrush.reading.text import LARGEST_TOML, read_bytes
from advrush.searching import SearchConfig
from advrush.training import TrainConfig

T = TypeVar("T")
SCALE = "a readable scale"
PAPER_EPOCHS = 60
"""Epochs of the paper's search; a scale takes its share of a search's phases."""
GROUPS = ("basic", "pgd100", "autoattack", "steps", "transfer")
"""Attacks that are measured together, each on a number of test images of its own."""


@dataclass(frozen=True)
class Images:
    """What stands for one of the paper's data sets."""

    data: DataConfig
    eps: float
    search: Mapping[str, Any]
    standard: Mapping[str, Any]
    adversarial: Mapping[str, Any]


@dataclass(frozen=True)
class Scale:
    """All that turns an artifact into runs; read from scales/NAME.toml or a file of one's own."""

    name: str
    about: str
    seeds: tuple[int, ...]
    checkpoints: tuple[str, ...]
    """Checkpoints of adversarial trainings that are evaluated; tables compare the first with the paper."""
    images: Mapping[str, Images]
    search: Mapping[str, Any]
    standard: Mapping[str, Any]
    adversarial: Mapping[str, Any]
    evaluate: Mapping[str, Any]
    examples: Mapping[str, int]
    """Test images by group of attacks; all unless given, 0 leaves the group out: its cells stay empty."""
    landscape: Mapping[str, Any]
    steps: tuple[int, ...]
    parameters: int | None
    """Parameters that each network is brought to, as nearly as channels allow; the published sizes unless given."""

    def search_config(self, name: str, spec: Mapping[str, Any], seed: int) -> SearchConfig:
        """Return the configuration of a search of artifacts.toml: its phases are the paper's share of the epochs."""
        images = self.images["cifar10"]
        values = merged(self.search, images.search, {k: v for k, v in spec.items() if k not in ("warm", "on")})
        whole = values.get("epochs", PAPER_EPOCHS)
        on = max(1, round(spec["on"] * whole / PAPER_EPOCHS))
        warm = max(1, round(spec["warm"] * whole / PAPER_EPOCHS)) if spec["warm"] else 0
        own = {"name": f"{self.name}-{name}", "epochs": on + warm, "warmup_epochs": warm, "seed": seed}
        config = configs.from_dict(SearchConfig, {**values, **own}, where=f"scale {self.name}: search {name}")
        attack = replace(config.adversarial, eps=images.eps, step_size=step_size(images.eps))
        return replace(config, data=images.data, adversarial=attack)

    def train_config(self, row: Row, recipe: Recipe, seed: int) -> TrainConfig:
        """Return a training's configuration; of a searched row, `arch` is filled in when the search is done."""
        images = self.images[row.dataset]
        changes = tomllib.loads(dict(row.changes).get(recipe, ""))
        base = dict(self.standard if recipe == "standard" else self.adversarial)
        own = images.standard if recipe == "standard" else images.adversarial
        start = _of_recipe(str(base.pop("recipe")).format(dataset=row.dataset)) if "recipe" in base else {}
        values = merged(start, {"attack": {"eps": images.eps, "step_size": step_size(images.eps)}}, base, own, changes)
        name = f"{self.name}-{row.key.replace('/', '-')}-{recipe}"
        values = {**values, "name": name, "arch": row.arch or "advrush", "seed": seed}
        config = configs.from_dict(TrainConfig, values, where=f"scale {self.name}: {recipe} training")
        return replace(config, data=images.data)


def merged(*parts: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested dictionaries laid over each other, the later over the earlier."""
    result: dict[str, Any] = {}
    for part in parts:
        for key, value in part.items():
            before = result.get(key)
            both = isinstance(before, Mapping) and isinstance(value, Mapping)
            result[key] = merged(before, value) if both else value  # type: ignore[arg-type]
    return result


def scales() -> dict[str, Path]:
    """Return the scales that come with the package, by name."""
    folder = Path(str(resources.files("advrush.paper"))) / "scales"
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def read_scale(name: str) -> Scale:
    """Return a scale by name or from a TOML file. Raises ConfigError naming the field that is wrong."""
    known = scales()
    path = known.get(name, Path(name))
    if name not in known and not path.is_file():
        hint = did_you_mean(name, known) or f"; known: {', '.join(known)}, or the path of a TOML file"
        raise ConfigError(f"scale: unknown scale {name!r}{hint}")
    content = read_bytes(path, SCALE, ConfigError, largest=LARGEST_TOML)
    with reading(path, SCALE, ConfigError):
        raw = tomllib.loads(content.decode("utf-8"))
    if base := raw.pop("base", None):
        check(base in known, f"{path}: base", base, f"a scale that comes with the package: {', '.join(known)}")
        raw = merged(tomllib.loads(known[base].read_text(encoding="utf-8")), raw)
    return _scale(raw, str(path) if name not in known else f"scale {name}")


def _scale(raw: Mapping[str, Any], where: str) -> Scale:
    fields = {
        "name": str, "about": str, "seeds": list, "checkpoints": list, "images": dict, "search": dict, "standard": dict,
        "adversarial": dict, "evaluate": dict, "examples": dict, "landscape": dict, "steps": list, "parameters": int,
    }  # fmt: skip
    for key, value in raw.items():
        if key not in fields:
            raise ConfigError(f"{where}: unknown key '{key}'{did_you_mean(key, fields)}")
        check(isinstance(value, fields[key]), f"{where}: {key}", value, f"a {fields[key].__name__}")
    for key in ("name", "seeds", "checkpoints", "images"):
        check(bool(raw.get(key)), f"{where}: {key}", raw.get(key), "a value")
    check("cifar10" in raw["images"], f"{where}: images", list(raw["images"]), "at least images.cifar10")
    for checkpoint in raw["checkpoints"]:
        check(checkpoint in ("last", "best", "drop"), f"{where}: checkpoints", checkpoint, "last, best or drop")
    for group in raw.get("examples", {}):
        check(group in GROUPS, f"{where}: examples", group, f"one of {', '.join(GROUPS)}")
        wanted = raw["examples"][group]
        whole = isinstance(wanted, int) and not isinstance(wanted, bool) and wanted >= 0
        check(whole, f"{where}: examples.{group}", wanted, "a whole number of test images, 0 to leave it out")
    return Scale(
        name=raw["name"],
        about=raw.get("about", ""),
        seeds=tuple(raw["seeds"]),
        checkpoints=tuple(raw["checkpoints"]),
        images={key: _images(value, f"{where}: images.{key}") for key, value in raw["images"].items()},
        search=raw.get("search", {}),
        standard=raw.get("standard", {}),
        adversarial=raw.get("adversarial", {}),
        evaluate=raw.get("evaluate", {}),
        examples=raw.get("examples", {}),
        landscape=raw.get("landscape", {}),
        steps=tuple(raw.get("steps", (7, 10, 20, 50, 100, 200, 500, 1000))),
        parameters=raw.get("parameters"),
    )


def _images(raw: Any, where: str) -> Images:
    check(isinstance(raw, Mapping), where, raw, "a table with data and eps")
    known = ("data", "eps", "search", "standard", "adversarial")
    for key in raw:
        check(key in known, where, key, f"one of {', '.join(known)}")
    data = configs.from_dict(DataConfig, raw.get("data", {}), where=where)
    eps = raw.get("eps", 0.031)
    check(isinstance(eps, int | float) and 0 < eps < 1, f"{where}.eps", eps, "a number between 0 and 1, such as 0.031")
    return Images(data, float(eps), *(raw.get(key, {}) for key in ("search", "standard", "adversarial")))


def _of_recipe(name: str) -> dict[str, Any]:
    """Return the values of a training recipe that comes with the package."""
    path = Path(str(resources.files("advrush"))) / "recipes" / "train" / f"{name}.toml"
    check(path.is_file(), "recipe", name, "a training recipe that comes with the package")
    return tomllib.loads(path.read_text(encoding="utf-8"))
