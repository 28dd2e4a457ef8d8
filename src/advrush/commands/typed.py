"""Refuse what was mistyped behind a command before anything is imported: options, numbers, choices."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from advrush.commands.fields import Field
from advrush.commands.help import HELP
from advrush.config import did_you_mean, fraction
from advrush.errors import ConfigError

NUMBERS = {"int": "a whole number", "float": "a number such as 0.03 or 8/255"}


def checked(name: str, words: Sequence[str]) -> list[str]:
    """Return the words behind a command, choices in the capitals they are written with (`l2` as `L2`).

    Raises ConfigError for an unknown option, an option without its value, a number or a choice that is none.
    """
    key = f"{name} {words[0]}" if words and f"{name} {words[0]}" in HELP else name
    fields = {field.option: field for field in HELP[key].fields()} if key in HELP else {}
    if not fields:
        return list(words)
    found: list[str] = []
    left = list(words)
    while left:
        word = left.pop(0)
        if word == "--":
            return [*found, word, *left]
        if not word.startswith("--"):
            found.append(word)
            continue
        option, equals, value = word.partition("=")
        field = _field(option, fields, key)
        if equals:
            found.append(f"{option}={_value(field, value)}")
            continue
        found.append(word)
        if field.is_flag:
            continue
        if not left or _is_option(left[0]):
            raise ConfigError(f"{field.name}: got nothing; expected {_expected(field)} behind {option}")
        found.append(_value(field, left.pop(0)))
    return found


def _field(option: str, fields: Mapping[str, Field], key: str) -> Field:
    """Return the field of an option, `--no-x` of a flag included."""
    plain = option.replace("_", "-")
    head, dot, tail = plain.removeprefix("--").rpartition(".")
    for name in (plain, f"--{head}{dot}{tail.removeprefix('no-')}"):
        if name in fields and (name == plain or fields[name].is_flag):
            return fields[name]
    inner = {name.rpartition(".")[2]: name for name in fields if "." in name}
    last = plain.removeprefix("--").rpartition(".")[2]
    hint = f" (did you mean '{inner[last]}'?)" if last in inner else did_you_mean(plain, fields)
    raise ConfigError(f"unknown option '{option}'{hint}; `advrush {key} --help` lists the options")


def _is_option(word: str) -> bool:
    """Return whether a word is an option, not a value such as -0.5."""
    return bool(re.match(r"--?[A-Za-z]", word))


def _value(field: Field, word: str) -> str:
    """Return the value, a choice in its own capitals; ConfigError where it is neither a choice nor a number wanted."""
    if word == "None" or field.is_flag:
        return word
    if field.choices:
        by_lower = {choice.lower(): choice for choice in field.choices}
        if word.lower() not in by_lower:
            raise ConfigError(f"{field.name}: got {word!r}{did_you_mean(word, by_lower)}; expected {_expected(field)}")
        return by_lower[word.lower()]
    kind = field.kind.removeprefix("tuple[").removesuffix(", ...]")
    if kind in NUMBERS and not _is_number(word, kind):
        raise ConfigError(f"{field.name}: got {word!r}; expected {NUMBERS[kind]}")
    return word


def _is_number(word: str, kind: str) -> bool:
    try:
        int(word) if kind == "int" else float(fraction(word))
    except ValueError:
        return False
    return True


def _expected(field: Field) -> str:
    if field.choices:
        return f"{'' if len(field.choices) == 1 else 'one of '}{', '.join(field.choices)}"
    kind = field.kind.removeprefix("tuple[").removesuffix(", ...]")
    return NUMBERS.get(kind, "a path" if kind == "Path" else "a word")
