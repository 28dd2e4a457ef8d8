"""The options of a command, read from the source of its configurations.

A configuration's module imports what it configures, and with it torch: seconds. Help and completion need only names,
types, defaults and descriptions, which the source tells at once. A test holds them to the classes themselves.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Field:
    """One option: `name` as `data.train_examples`, its type, its default (None: none is shown) and its description."""

    name: str
    kind: str
    default: Any
    about: str
    group: str = ""
    """Description of the part of the configuration that it belongs to; "" for the fields at the top."""

    @property
    def option(self) -> str:
        """Return `--data.train-examples`."""
        return "--" + self.name.replace("_", "-")

    @property
    def is_flag(self) -> bool:
        """Return whether the option takes no value: `--quiet`, `--no-quiet`."""
        return self.kind == "bool"

    @property
    def takes_many(self) -> bool:
        """Return whether several values may follow the option."""
        return self.kind.startswith("tuple[")

    @property
    def choices(self) -> tuple[str, ...]:
        """Return the words that are allowed, where there are only some."""
        start = self.kind.find("Literal[")
        if start < 0:
            return ()
        inside = self.kind[start + len("Literal[") : self.kind.index("]", start)]
        return tuple(str(value) for value in ast.literal_eval(f"({inside},)"))


@cache
def fields_of(reference: str) -> tuple[Field, ...]:
    """Return the fields of a dataclass named as `searching.config.SearchConfig`, those of nested ones with a dot."""
    module, _, name = reference.rpartition(".")
    return tuple(_fields(module, name))


def _fields(module: str, name: str) -> Iterator[Field]:
    """Yield the fields of a dataclass, those of its bases first, as dataclasses order them."""
    module, found = _class(module, name)
    named: dict[str, Field] = {}
    for base in found.bases:
        if isinstance(base, ast.Name):
            named |= {field.name: field for field in _fields(module, base.id)}
    for statement, following in zip(found.body, [*found.body[1:], None], strict=True):
        if not isinstance(statement, ast.AnnAssign) or not isinstance(statement.target, ast.Name):
            continue
        if "ClassVar" in ast.unparse(statement.annotation):
            continue
        about = _text(following)
        nested = _nested(statement.value)
        if nested is None:
            named[statement.target.id] = Field(
                statement.target.id, _kind(statement.annotation), _default(statement.value), about
            )
            continue
        for inner in _fields(module, nested):
            group, whole = f"{about} {inner.group}".strip(), f"{statement.target.id}.{inner.name}"
            named[whole] = Field(whole, inner.kind, inner.default, inner.about, group)
    yield from named.values()


def constant(module: str, name: str) -> Any:
    """Return what a module spells out as the value of a name (texts, numbers, tables of them), without importing it."""
    for statement in _source(module).body:
        if isinstance(statement, ast.Assign) and name in [getattr(target, "id", "") for target in statement.targets]:
            return ast.literal_eval(statement.value)
    raise LookupError(f"{module}: no constant {name}")


@cache
def _source(module: str) -> ast.Module:
    path = ROOT.joinpath(*module.split("."))
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(path.read_text(encoding="utf-8"))


def _class(module: str, name: str) -> tuple[str, ast.ClassDef]:
    """Return where a class is defined, following `from ... import`, and its definition."""
    for statement in ast.walk(_source(module)):
        if isinstance(statement, ast.ClassDef) and statement.name == name:
            return module, statement
        if isinstance(statement, ast.ImportFrom) and (statement.module or "").startswith("advrush."):
            for alias in statement.names:
                if (alias.asname or alias.name) == name:
                    return _class((statement.module or "").removeprefix("advrush."), alias.name)
    raise LookupError(f"{module}: no class {name}")


def _nested(value: ast.expr | None) -> str | None:
    """Return X of `field(default_factory=X)`."""
    if isinstance(value, ast.Call) and getattr(value.func, "id", "") == "field":
        for keyword in value.keywords:
            if keyword.arg == "default_factory" and isinstance(keyword.value, ast.Name):
                return keyword.value.id
    return None


def _default(value: ast.expr | None) -> Any:
    if isinstance(value, ast.Call) and getattr(value.func, "id", "") == "Path":
        return ast.literal_eval(value.args[0])
    if isinstance(value, ast.Call) and getattr(value.func, "id", "") == "field":
        return next((_default(keyword.value) for keyword in value.keywords if keyword.arg == "default"), None)
    try:
        return None if value is None else ast.literal_eval(value)
    except ValueError:
        return ast.unparse(value) if value is not None else None


def _kind(annotation: ast.expr) -> str:
    return ast.unparse(annotation).removesuffix(" | None")


def _text(statement: ast.stmt | None) -> str:
    """Return the description that stands as a string below a field."""
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
        return " ".join(str(statement.value.value).split())
    return ""
