"""What the tests of hostile input share: values that break parsers, and telling a refusal from an escape."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from advrush.errors import AdvrushError

MORE = int(os.environ.get("ADVRUSH_FUZZ", "1"))
"""How many times the examples of the test suite hypothesis tries; more than one: other ones each time."""

BEYOND_PRINTING = 16**5000
"""Python refuses to write a whole number of more than 4,300 digits as text."""

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
"""What JSON can hold."""
VALUES = PLAIN | st.just(BEYOND_PRINTING) | st.just([BEYOND_PRINTING])


def refusal(call: Callable[..., Any], *given: Any, **options: Any) -> str | None:
    """Return the message of the AdvrushError that a call raises, None where it returns; all else fails the test."""
    try:
        call(*given, **options)
    except AdvrushError as error:
        message = str(error)
        assert len(message) < 3000
        return message
    return None
