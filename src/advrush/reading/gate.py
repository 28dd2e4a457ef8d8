"""Turn any failure of a parser into one typed error with the file's name."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from advrush.errors import AdvrushError, RunError

LONGEST = 300
"""Characters of a parser's own words, or of a value, that a message repeats."""

CODES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
"""What colors a terminal; such and other unprintable marks are left out of messages."""

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = LONGEST
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxdict = _SHORT.maxset = 12


@contextmanager
def reading(where: Path | str, what: str, error: type[AdvrushError] = RunError) -> Iterator[None]:
    """Raise `error`, which names `where` and says that it is not `what`, for anything that fails inside.

    An AdvrushError passes as it is, and so do Ctrl-C and exits. All else counts as damage, also what is no
    `Exception` (libraries in Rust panic with such): whatever is read inside was written by others, and a parser of
    hostile bytes can fail in any way. Nothing but reading belongs inside: a fault of the program would be called one
    of the file.
    """
    try:
        yield
    except (AdvrushError, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except OSError as failure:
        raise error(f"{where}: cannot be read ({reason(failure)}); expected {what}") from None
    except BaseException as failure:
        raise error(f"{where}: not {what}, or damaged ({reason(failure)})") from None


def reason(failure: BaseException) -> str:
    """Return what a failure says, on one line and of bounded length; its class where it says nothing."""
    if isinstance(failure, OSError) and failure.strerror:
        return failure.strerror
    try:
        said = " ".join("".join(c if c.isprintable() else " " for c in CODES.sub("", str(failure))).split())
    except Exception:
        said = ""
    named = said if said and not isinstance(failure, KeyError) else f"{type(failure).__name__} {said}".strip()
    return named if len(named) <= LONGEST else f"{named[:LONGEST]}..."


def shown(value: object) -> str:
    """Return a value for a message: as `repr`, of bounded length, and never failing.

    Python refuses to print whole numbers of more than 4,300 digits, and lists that hold each other print without end.
    """
    try:
        text = repr(value) if isinstance(value, str | float | bool | None) else _SHORT.repr(value)
    except Exception:
        return f"a {type(value).__name__} that cannot be printed"
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 20]}...{text[-17:]}"
