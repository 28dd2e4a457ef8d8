"""Text in CSV files that spreadsheets do not take for a formula."""

from __future__ import annotations

from typing import TypeVar

MARKS = ("=", "+", "-", "@", "\t", "\r")
"""With these a spreadsheet's formulas begin, which can read files and call programs."""
Value = TypeVar("Value")


def csv_cell(value: Value) -> Value | str:
    """Return a value as it is, and a text that a spreadsheet would compute behind an apostrophe; numbers stay."""
    if not isinstance(value, str) or not value.startswith(MARKS):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value
