"""Configurations: TOML text to and from frozen dataclasses, checked, with a digest of their content."""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
import math
import os
import re
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import tomli_w

from advrush.errors import ConfigError
from advrush.reading.gate import shown
from advrush.reading.text import read_toml

T = TypeVar("T")


def did_you_mean(name: str, options: Iterable[str]) -> str:
    """Return " (did you mean 'x'?)" for the nearest of `options`, or an empty string."""
    by_lower = {option.lower(): option for option in options}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.5)
    return f" (did you mean '{by_lower[near[0]]}'?)" if near else ""


def check(condition: bool, field: str, value: object, expected: str) -> None:
    """Raise ConfigError naming the field, its value and what would be right, unless `condition` holds."""
    if not condition:
        raise ConfigError(f"{field}: got {shown(value)}; expected {expected}")


def check_path(field: str, value: object, expected: str = "a path") -> None:
    """Raise ConfigError unless `value` is a text or a path."""
    check(isinstance(value, str | os.PathLike), field, value, expected)


def check_made(config: Any, cls: type[Any], objective: Any = None, methods: Iterable[str] = ()) -> None:
    """Raise ConfigError unless a stage is given its configuration, and an objective (or None) with these methods."""
    check(isinstance(config, cls), "config", config, f"a {cls.__name__}; `load` and `from_dict` make one")
    made = not isinstance(objective, type) and all(callable(getattr(objective, name, None)) for name in methods)
    check(objective is None or made, "objective", objective, f"an object with the methods {', '.join(methods)}")


def to_dict(config: Any) -> dict[str, Any]:
    """Return the plain nested dictionary of a configuration; fields that are None are left out."""

    def plain(value: Any) -> Any:
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            items = ((f.name, getattr(value, f.name)) for f in dataclasses.fields(value))
            return {name: plain(item) for name, item in items if item is not None}
        if isinstance(value, list | tuple):
            return [plain(item) for item in value]
        return value

    result = plain(config)
    assert isinstance(result, dict)
    return result


def to_toml(config: Any) -> str:
    """Return the configuration as TOML text; `from_dict` of the parsed text gives it back."""
    return tomli_w.dumps(to_dict(config))


def digest(config: Any) -> str:
    """Return 8 hexadecimal digits that depend on every value of the configuration and on its class.

    A field that came after runs had been made carries `field(default=..., metadata={"since": 2})`: while it has its
    default value it is left out here, so that finished runs are still found after an upgrade. The default of such a
    field must never change: that would give two computations one digest.
    """
    plain = config if isinstance(config, Mapping) else _without_later_defaults(config, to_dict(config))
    text = json.dumps([type(config).__name__, plain], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _without_later_defaults(config: Any, plain: Mapping[str, Any]) -> dict[str, Any]:
    """Return the dictionary of a configuration without fields that came later and have their default value."""
    kept = dict(plain)
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if "since" in field.metadata and value == _default(field):
            kept.pop(field.name, None)
        elif dataclasses.is_dataclass(value):
            kept[field.name] = _without_later_defaults(value, kept[field.name])
    return kept


def _default(field: dataclasses.Field[Any]) -> Any:
    """Return the default of a field; what no value equals where it has none."""
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


LARGEST_SEED = 2**32 - 1


def check_numbers(config: Any, path: str = "") -> None:
    """Raise ConfigError, naming the field, for a number not finite or beyond 64 bits, or a seed out of range."""
    for field in dataclasses.fields(config):
        value, name = getattr(config, field.name), f"{path}{field.name}"
        if dataclasses.is_dataclass(value):
            check_numbers(value, f"{name}.")
        for number in value if isinstance(value, tuple | list) else (value,):
            check(not isinstance(number, float) or math.isfinite(number), name, number, "a finite number")
            check(not isinstance(number, int) or abs(number) < 2**63, name, number, "a whole number below 2**63")
        if field.name == "seed" and isinstance(value, int):
            check_seed(value, name)


def check_seed(value: Any, field: str = "seed") -> None:
    """Raise ConfigError unless `value` is a whole number that every generator takes for a seed."""
    right = type(value) is int and 0 <= value <= LARGEST_SEED
    check(right, field, value, f"a whole number from 0 to {LARGEST_SEED}")


LARGEST_L2 = 30.0
"""A radius of the L2 norm beyond this reaches nearly every image of 32 pixels (their cube's diagonal is 55)."""


LARGEST = {"Linf": 1.0, "L2": LARGEST_L2, "L1": 1000.0}
"""Radii beyond these are refused: in the L1 norm, a third of the way through the cube of 32 x 32 colored pixels."""


MOST_CHANNELS = 8192
"""Channels of a network's first stage beyond this are a slip: the widest published ones have some 1,000."""
MOST_CELLS = 1000


def check_between(field: str, value: int, most: int, least: int = 1) -> None:
    """Raise ConfigError unless `value` is a whole number from `least` to `most`."""
    check(type(value) is int and least <= value <= most, field, value, f"a whole number from {least} to {most}")


def radius_text(norm: str, eps: float) -> str:
    """Return norm and radius in pixel units, and of Linf and L2 in gray levels: "Linf, eps 0.031 (7.91/255)"."""
    return f"{norm}, eps {eps:.4g}" + ("" if norm == "L1" else f" ({255 * eps:.3g}/255)")


def radius_name(eps: float, norm: str = "Linf") -> str:
    """Return a radius as it is written: 8/255 where it is a whole number of 255ths, else 0.0314."""
    parts = eps * 255
    return f"{round(parts)}/255" if norm == "Linf" and abs(parts - round(parts)) < 1e-6 <= parts else f"{eps:.4g}"


def check_radius(field: str, value: float, *, norm: str = "Linf") -> None:
    """Raise ConfigError unless `value` is a radius or step in [0, 1] pixel units; ask whether 255ths were meant."""
    most = LARGEST[norm]
    check(not isinstance(value, str | bool | None), field, value, "a number > 0, such as 0.031")
    check(0 < value < math.inf, field, value, "a number > 0, such as 0.031 or 8/255")
    check(value <= most, field, value, f"at most {most:g}, since pixels are in [0, 1]; was {value:g}/255 meant?")


def radius(value: Any, field: str = "eps") -> float:
    """Return a radius given as a number or as a text such as "8/255"; ConfigError for anything else."""
    try:
        if isinstance(value, bool):
            raise TypeError
        return float(fraction(value) if isinstance(value, str) else value)
    except (TypeError, ValueError, RuntimeError):  # RuntimeError: a tensor of several values
        raise ConfigError(f"{field}: got {shown(value)}; expected a number > 0, such as 0.031 or 8/255") from None


def fraction(text: str) -> str:
    """Return `8/255` and the like as a decimal number that reads back to the same float, any other text as it is."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)/(\d+(?:\.\d+)?)", text)
    return repr(float(match[1]) / float(match[2])) if match and float(match[2]) else text


def from_dict(cls: type[T], data: Mapping[str, Any], *, where: str = "") -> T:
    """Build the frozen dataclass `cls` from nested dictionaries.

    Raises ConfigError for an unknown key (with a suggestion), a wrong type or a value out of range;
    `where` (a file name, say) is put in front of the message.
    """
    prefix = f"{where}: " if where else ""
    _refuse_unknown(cls, data, prefix, "")
    try:
        return msgspec.convert(_with_numbers(cls, data), type=cls)
    except msgspec.ValidationError as error:
        raise ConfigError(prefix + _readable(str(error))) from None
    except ConfigError as error:
        raise ConfigError(prefix + str(error)) from None


def load(cls: type[T], path: Path) -> T:
    """Read a TOML file into the frozen dataclass `cls`; errors name the file and the field."""
    return from_dict(cls, read_toml(path, ConfigError), where=str(path))


def _refuse_unknown(cls: type[Any], data: Mapping[str, Any], prefix: str, path: str) -> None:
    hints = _hints(cls)
    names = [field.name for field in dataclasses.fields(cls)]
    for key, value in data.items():
        if key not in names:
            hint = did_you_mean(key, names) or f"; known: {', '.join(names)}"
            raise ConfigError(f"{prefix}unknown key '{path}{key}'{hint}")
        nested = _dataclass_in(hints[key])
        if nested is not None and isinstance(value, Mapping):
            _refuse_unknown(nested, value, prefix, f"{path}{key}.")


def _with_numbers(cls: type[Any], data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the data with fractions such as "8/255" as numbers where a field wants one."""
    hints = _hints(cls)
    result = dict(data)
    for key, value in data.items():
        nested = _dataclass_in(hints[key])
        if nested is not None and isinstance(value, Mapping):
            result[key] = _with_numbers(nested, value)
        elif (
            isinstance(value, str) and float in (hints[key], *typing.get_args(hints[key])) and fraction(value) != value
        ):
            result[key] = float(fraction(value))
    return result


_HINTS: dict[type[Any], dict[str, Any]] = {}


def _hints(cls: type[Any]) -> dict[str, Any]:
    """Return the types of a class's fields; evaluating their texts anew each time takes milliseconds."""
    if cls not in _HINTS:
        _HINTS[cls] = typing.get_type_hints(cls)
    return _HINTS[cls]


def _dataclass_in(hint: Any) -> type[Any] | None:
    """Return the dataclass that a type hint (perhaps `X | None`) names."""
    for option in (hint, *typing.get_args(hint)):
        if isinstance(option, type) and dataclasses.is_dataclass(option):
            return option
    return None


def _readable(message: str) -> str:
    """Turn msgspec's "Expected `int`, got `str` - at `$.a.b`" into "a.b: expected int, got str"."""
    text, _, place = message.partition(" - at `$.")
    text = text.replace("`", "")
    return f"{place.rstrip('`')}: {text[0].lower()}{text[1:]}" if place else text
