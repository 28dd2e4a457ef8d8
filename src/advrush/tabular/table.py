"""A table of measured accuracies of the architectures of a space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from advrush.config import did_you_mean
from advrush.errors import DataError
from advrush.space import Architecture, Space, space_named


@dataclass(frozen=True)
class Row:
    """One architecture and what was measured of it, in the units of the file; what is missing is left out."""

    index: int
    """Its place in the table, from 0."""
    genotype: Architecture
    measured: Mapping[str, float]


@dataclass(frozen=True)
class Table:
    """Rows of one search space. All measures are taken as better where they are higher: accuracies.

    Raises DataError where two rows are one architecture, or where there is no row.
    """

    name: str
    """The file's name without its ending."""
    space_name: str
    rows: tuple[Row, ...]
    measures: tuple[str, ...]
    """The columns of numbers, in the order of the file."""
    checksum: str
    """Sixteen hexadecimal digits of the file's SHA-256."""
    _by_form: Mapping[str, Row] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.rows:
            raise DataError(f"{self.name}: no rows")
        found: dict[str, Row] = {}
        for row in self.rows:
            before = found.setdefault(self.space.canonical(row.genotype), row)
            if before is not row:
                raise DataError(
                    f"{self.name}: rows {before.index} and {row.index} (from 0) are one architecture; "
                    "expected one row for each, such as the mean of both"
                )
        object.__setattr__(self, "_by_form", found)

    @property
    def space(self) -> Space:
        """Return the search space that the rows are of."""
        return space_named(self.space_name)

    @property
    def is_whole(self) -> bool:
        """Tell whether every architecture of the space has its row, so that whatever a search finds can be looked up.

        False where the space was never counted.
        """
        return self.space.distinct is not None and len(self.rows) >= self.space.distinct

    def find(self, genotype: Architecture) -> Row | None:
        """Return the row of an architecture, whatever isomorphic form it has; None where the table has none."""
        if genotype.space != self.space_name:
            return None
        return self._by_form.get(self.space.canonical(genotype))

    def check_measure(self, measure: str) -> str:
        """Return the name of a column. Raises DataError, with a suggestion, for one that the table lacks."""
        if measure not in self.measures:
            hint = did_you_mean(measure, self.measures)
            raise DataError(f"measure: got {measure!r}{hint}; {self.name} has {', '.join(self.measures)}")
        return measure

    def with_measure(self, measure: str) -> list[Row]:
        """Return the rows that have a value in the column. Raises DataError where the table lacks it."""
        self.check_measure(measure)
        return [row for row in self.rows if measure in row.measured]

    def values(self, measure: str) -> npt.NDArray[np.float64]:
        """Return the column's values, in the order of the rows that have one."""
        return np.array([row.measured[measure] for row in self.with_measure(measure)], dtype=np.float64)

    def standing(self, measure: str, value: float) -> Standing:
        """Return where a value stands in the column."""
        return standing(self.values(measure), value)


@dataclass(frozen=True)
class Standing:
    """Where a value stands among those of a table."""

    value: float
    rank: int
    """1 for the best; equal values share the better rank."""
    percentile: float
    """From the top: 0 for the best of all, 100 for the worst; equal values share the middle of theirs."""
    regret: float
    """What the best of the table has more."""


def standing(values: Sequence[float] | npt.NDArray[np.float64], value: float) -> Standing:
    """Return where `value` stands among all `values`, of which it should be one. Higher is better.

    The percentile's mean over all values is 50: that of a search that knows nothing.
    """
    array = np.asarray(values, dtype=np.float64)
    better, equal = int((array > value).sum()), int((array == value).sum())
    place = better + max(equal - 1, 0) / 2
    percentile = 100 * place / max(len(array) - 1, 1)
    return Standing(float(value), better + 1, min(percentile, 100.0), float(array.max() - value))
