"""Parse lists of seeds such as 0..3."""

from __future__ import annotations

import re

from advrush.errors import ConfigError


def seeds_of(text: str) -> list[int]:
    """Read `0..3` or `0,2,5`; ConfigError if it is neither."""
    if match := re.fullmatch(r"(\d+)\.\.(\d+)", text):
        first, last = int(match[1]), int(match[2])
        if first <= last:
            return list(range(first, last + 1))
    elif re.fullmatch(r"\d+(,\d+)*", text):
        return [int(number) for number in text.split(",")]
    raise ConfigError(f"seeds: got {text!r}; expected a range such as 0..3 or a list such as 0,2,5")
