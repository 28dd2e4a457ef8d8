"""Parse the Python text of a named tuple without evaluating it."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any

from advrush.errors import GenotypeError

LONGEST = 100_000
LARGEST_RANGE = 100
"""Bounds that keep a hostile text from taking memory; a cell has a dozen edges."""


def call_arguments(text: str, fields: Sequence[str]) -> dict[str, Any]:
    """Return the arguments of `Name(field=literal, ...)` by field name; `range(a, b)` counts as a literal.

    Positional arguments take the names in `fields`, in that order. Raises GenotypeError otherwise.
    """
    if len(text) > LONGEST:
        raise GenotypeError(f"genotype: the text is longer than {LONGEST} characters")
    try:
        node = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        where = f" at line {error.lineno}, column {error.offset}" if isinstance(error, SyntaxError) else ""
        raise GenotypeError(f"genotype: not a Genotype(...) text{where}") from None
    if not isinstance(node, ast.Call) or len(node.args) > len(fields):
        raise GenotypeError(f"genotype: expected Genotype(...) with {', '.join(fields)}")
    arguments = {field: _literal(value, field) for field, value in zip(fields, node.args, strict=False)}
    for keyword in node.keywords:
        if keyword.arg is None or keyword.arg in arguments:
            raise GenotypeError(f"genotype: field {keyword.arg or '**'} is given twice or unpacked")
        arguments[keyword.arg] = _literal(keyword.value, keyword.arg)
    return arguments


def _literal(node: ast.expr, field: str) -> Any:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
        if node.func.id == "range":
            return _range([_literal(bound, field) for bound in node.args], field)
        if node.func.id in ("list", "tuple") and len(node.args) == 1:
            return _literal(node.args[0], field)
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, RecursionError, MemoryError):
        raise GenotypeError(f"{field}: not a list of literals or range(...)") from None


def _range(bounds: list[Any], field: str) -> list[int]:
    if not 1 <= len(bounds) <= 3 or not all(type(bound) is int for bound in bounds):
        raise GenotypeError(f"{field}: range() takes one to three whole numbers")
    try:
        values = range(*bounds)
    except ValueError:
        raise GenotypeError(f"{field}: range() must not step by zero") from None
    if len(values) > LARGEST_RANGE:
        raise GenotypeError(f"{field}: range of {len(values)} values")
    return list(values)
