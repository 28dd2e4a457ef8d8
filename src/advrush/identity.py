"""The identity of a run beyond its configuration: checksum and statistics of the data, outputs of the model, code."""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import hashlib
import inspect
import textwrap
from collections.abc import Mapping
from typing import Any

IDENTITY = "identity.json"
"""Name of the file in a run directory."""
LATER = ("normalization", "more_outputs", "gradients", "objective_code")
"""Entries that older runs do not have: nothing is told of these."""


OTHERS = ("advrush", "torch", "typing", "abc", "builtins")
"""Packages whose code is not one's own: an upgrade of these changes no objective."""
FIRST = 3
"""Numbers of a list that a message repeats."""
MEANT = {
    "outputs": "network", "more_outputs": "network", "gradients": "network, by its gradients",
    "objective_code": "code of the objective",
}  # fmt: skip
"""What entries are of that are told by numbers."""


def described(objective: object) -> str:
    """Return the class of an object, and its fields where it is a dataclass; never an address in memory."""
    kind = f"{type(objective).__module__}.{type(objective).__qualname__}"
    if not dataclasses.is_dataclass(objective) or isinstance(objective, type):
        return kind
    values = {f.name: getattr(objective, f.name) for f in dataclasses.fields(objective)}
    fields = (f"{k}={v!r}" if isinstance(v, int | float | str | None) else f"{k}=..." for k, v in values.items())
    return f"{kind}({', '.join(fields)})"


def of_objective(objective: object | None) -> dict[str, str]:
    """Return what tells an objective of one's own from another: class and fields, and a digest of its code."""
    return {} if objective is None else {"objective": described(objective), "objective_code": code_of(objective)}


def code_of(value: object) -> str:
    """Return 8 hexadecimal digits of the code of an object's class and of one's own it derives from, and of its fields.

    Comments and layout do not matter. Code that cannot be read (typed at a prompt), and what it calls, is no part.
    """
    digest = hashlib.sha256()
    for each in type(value).__mro__:
        if each.__module__.partition(".")[0] in OTHERS:
            continue
        with contextlib.suppress(OSError, TypeError, SyntaxError):
            digest.update(ast.dump(ast.parse(textwrap.dedent(inspect.getsource(each)))).encode())
    fields = dataclasses.fields(value) if dataclasses.is_dataclass(value) else ()
    for said in (repr(getattr(value, field.name)) for field in fields):
        digest.update(b"" if " at 0x" in said else said.encode())
    return digest.hexdigest()[:8]


def difference(known: Any, now: Mapping[str, Any]) -> str | None:
    """Return in words what two identities differ in, None where they are alike or one of them tells nothing at all."""
    if not isinstance(known, Mapping) or not known or not now:
        return None
    for key in sorted({*known, *now}):
        if key in LATER and key not in known:
            continue
        then, today = known.get(key), now.get(key)
        if not _alike(then, today):
            return f"another {MEANT.get(key, key)}: {_short(then)} then, {_short(today)} now"
    return None


def _alike(known: Any, now: Any) -> bool:
    """Return whether two entries are equal; lists of numbers up to rounding, lists of lists entry by entry."""
    if isinstance(known, list) and isinstance(now, list):
        if len(known) != len(now):
            return False
        if any(isinstance(value, list | str) for value in (*known, *now)):
            return all(_alike(a, b) for a, b in zip(known, now, strict=True))
        scale = max((abs(float(v)) for v in known), default=0.0)
        return all(abs(float(a) - float(b)) <= 1e-3 * scale + 1e-9 for a, b in zip(known, now, strict=True))
    return bool(known == now)


def _short(value: Any) -> str:
    if value is None:
        return "none of one's own"
    return _numbers(value) if isinstance(value, list) else str(value)


def _numbers(values: list[Any]) -> str:
    """Return the first few of a list's numbers, for a message."""
    if values and isinstance(values[0], list):
        return f"{len(values)} networks"
    more = ", ..." if len(values) > FIRST else ""
    return f"[{', '.join(f'{value:.4g}' for value in values[:FIRST])}{more}] on test images"
