"""Seeds of random streams, derived from a configuration's seed: every formula in one place."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class _Mix(NamedTuple):
    """The seed is `sum(weight * part) + offset`, modulo `modulus` where there is one."""

    weights: tuple[int, ...]
    offset: int = 0
    modulus: int | None = None


class Purpose(Enum):
    """What the random numbers of a seed are for, with the formula that gives the seed its value.

    The values are those that finished runs were computed with: a change makes their results irreproducible.
    """

    DATA_ORDER = _Mix((1_000_003, 1), modulus=2**63)
    """Order and augmentation of an epoch's batches: (seed, epoch)."""
    SECOND_LEVEL = _Mix((1,), offset=1)
    """The seed of a search's batches for the architecture, beside those for the weights: (seed)."""
    SEARCH_STEP = _Mix((10**9, 10**5, 1))
    """An objective's own numbers in one step of a search: (seed, epoch, step)."""
    RELAXATION = _Mix((10**9, 10**5, 2, 1))
    """What a supernet draws before one of the two updates of a step: (seed, epoch, step, level)."""
    DROP_PATH = _Mix((10**6, 1))
    """Drop path in an epoch of a training: (seed, epoch)."""
    ATTACK_STARTS = _Mix((10**6, 1), offset=10**6)
    """Random starts of the attack in an epoch of a training: (seed, epoch)."""
    ATTACK_BATCH = _Mix((1, 1))
    """An attack on the batch whose first example has this index: (seed, index)."""
    ENSEMBLE_MEMBER = _Mix((1, 7919))
    """One attack of an ensemble: (seed, number of the attack)."""
    PROBE_BATCH = _Mix((1_000_003, 1))
    """Probe vectors of the batch whose first example has this index: (seed, index)."""


def derive_seed(purpose: Purpose, seed: int, *parts: int) -> int:
    """Return the seed of a stream of random numbers.

    Args:
        purpose: what the numbers are for.
        seed: the configuration's seed.
        parts: what tells one stream of this use from another, as `Purpose` lists it.

    Raises ValueError where the number of parts is not that of the purpose.
    """
    mix = purpose.value
    total = sum(weight * value for weight, value in zip(mix.weights, (seed, *parts), strict=True)) + mix.offset
    return total if mix.modulus is None else total % mix.modulus
