"""Distinguish a damaged run from a bug of the report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from advrush.errors import AdvrushError, RunError
from advrush.reading.gate import reading
from advrush.report.records import Record
from advrush.report.sections.compose import numbers, sentences

T = TypeVar("T")


def check_sound(record: Record) -> None:
    """Raise RunError, naming the run, where what its files hold cannot be told in numbers and sentences."""
    with reading(record.path, "the files of a run"):
        numbers(record), record.seconds, record.epochs, record.genotype(), sentences([record])


def only_sound(records: Iterable[Record]) -> list[Record]:
    """Return the runs whose files have the shape that they should."""
    found = []
    for record in records:
        try:
            check_sound(record)
        except AdvrushError:
            continue
        found.append(record)
    return found


def blaming(records: Sequence[Record], make: Callable[[Sequence[Record]], T]) -> T:
    """Return `make(records)`; where that fails, raise RunError naming the first run with which alone it fails too.

    What fails with all of them together and with none alone is a fault of the program, and is raised as it is.
    """
    try:
        return make(records)
    except AdvrushError:
        raise
    except Exception:
        for record in records:
            try:
                make([record])
            except AdvrushError:
                raise
            except Exception as failure:
                with reading(record.path, "the files of a run", RunError):
                    raise failure
        raise
