"""Reading tables of architectures: CSV files with a column of genotypes and columns of numbers."""

from __future__ import annotations

import csv
import hashlib
import io
import math
from collections.abc import Sequence
from pathlib import Path

from advrush.errors import DataError, GenotypeError
from advrush.space import Architecture, resolve
from advrush.tabular.table import Row, Table

GENOTYPES = ("genotype", "arch", "architecture")
"""What the column of genotypes may be called."""

LARGEST = 2**28
"""Bytes that are read at most."""


def read_table(path: Path | str) -> Table:
    """Read a table: CSV in UTF-8, one row an architecture.

    A column `genotype`, `arch` or `architecture` holds each row's genotype in any form of its space: the text
    `|op~0|+|...|` of NAS-Bench-201 (Jung et al., ICLR 2023; NAS-RobBench-201), JSON or `Genotype(...)` of DARTS
    (Tiny-RobustBench). Every other column of numbers is a measure; an empty entry is a value that is missing; columns
    with words in them and those that number the rows (`id`, `..._id`) are left out. Nothing is downloaded.

    Raises DataError, naming the line, for a file that cannot be read, a line of another length, a genotype that is
    none or of another space than the first, numbers that are not finite, and two rows of one architecture.
    """
    path = Path(path)
    content = _content(path)
    reader = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
    try:
        lines = [(reader.line_num, line) for line in reader if line]
    except csv.Error as error:
        raise DataError(f"{path}: line {reader.line_num}: not CSV ({error})") from None
    if not lines:
        raise DataError(f"{path}: empty; expected a line of column names and one line an architecture")
    head, body = [name.strip() for name in lines[0][1]], lines[1:]
    if not body:
        raise DataError(f"{path}: no rows below the column names; expected one line an architecture")
    column = _genotype_column(head, path)
    for number, line in body:
        if len(line) != len(head):
            raise DataError(f"{path}: line {number}: {len(line)} fields; expected {len(head)}, as in the first line")
    genotypes = [_genotype(line[column], f"{path}: line {number}") for number, line in body]
    for (number, _), genotype in zip(body, genotypes, strict=True):
        if genotype.space != genotypes[0].space:
            raise DataError(
                f"{path}: line {number}: a genotype of {genotype.space}; expected {genotypes[0].space} as before"
            )
    measured: list[dict[str, float]] = [{} for _ in body]
    names = [name for place, name in enumerate(head) if place != column and _fill(place, name, body, measured, path)]
    if not names:
        raise DataError(f"{path}: no column of numbers beside {head[column]!r}")
    rows = tuple(Row(i, g, m) for i, (g, m) in enumerate(zip(genotypes, measured, strict=True)))
    return Table(path.stem, genotypes[0].space, rows, tuple(names), hashlib.sha256(content).hexdigest()[:16])


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
        content.decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}); expected a table in CSV") from None
    except UnicodeDecodeError:
        raise DataError(f"{path}: not a text in UTF-8; expected a table in CSV") from None
    if len(content) > LARGEST:
        raise DataError(f"{path}: larger than {LARGEST} bytes; expected a table in CSV")
    return content


def _genotype_column(head: Sequence[str], path: Path) -> int:
    if len(set(head)) != len(head):
        twice = next(name for name in head if head.count(name) > 1)
        raise DataError(f"{path}: two columns are called {twice!r}")
    found = [head.index(name) for name in GENOTYPES if name in head]
    if not found:
        shown = ", ".join(head)[:200]
        raise DataError(f"{path}: no column of genotypes ({', '.join(GENOTYPES)}); its columns are {shown}")
    return found[0]


def _genotype(text: str, place: str) -> Architecture:
    try:
        genotype = resolve(text)
    except GenotypeError as error:
        raise DataError(f"{place}: {error}") from None
    if genotype is None:
        raise DataError(f"{place}: got {text[:60]!r}; expected a genotype's text")
    return genotype


def _fill(
    place: int, name: str, body: Sequence[tuple[int, Sequence[str]]], measured: Sequence[dict[str, float]], path: Path
) -> bool:
    """Add a column's numbers to the rows; return False, and add nothing, where it is no measure."""
    if name == "" or name == "id" or name.endswith("_id"):
        return False
    values: list[float | None] = []
    for number, line in body:
        text = line[place].strip()
        if text.lower() in ("", "na", "n/a", "none", "null"):
            values.append(None)
            continue
        try:
            value = float(text)
        except ValueError:
            if any(known is not None for known in values):
                raise DataError(f"{path}: line {number}: {name}: got {text[:40]!r}; expected a number") from None
            return False
        if not math.isfinite(value):
            raise DataError(f"{path}: line {number}: {name}: got {text}; expected a finite number, or nothing")
        values.append(value)
    for row, known in zip(measured, values, strict=True):
        if known is not None:
            row[name] = known
    return any(known is not None for known in values)
