"""Check the softmax weights that a genotype is derived from: one array (edges, primitives) for each kind of cell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from advrush.errors import GenotypeError


def checked_weights(
    weights: Mapping[str, Any], kind: str, *, edges: int, primitives: tuple[str, ...]
) -> npt.NDArray[np.float64]:
    """Return one kind's array (edges, primitives); GenotypeError where it is missing, misshapen or not finite."""
    if kind not in weights:
        raise GenotypeError(f"weights: no {kind!r}; got {', '.join(weights) or 'none'}")
    array = np.asarray(weights[kind], dtype=np.float64)
    shape = (edges, len(primitives))
    if array.shape != shape:
        raise GenotypeError(f"{kind} weights: got shape {array.shape}; expected {shape}")
    if not np.isfinite(array).all():
        row, column = np.argwhere(~np.isfinite(array))[0]
        raise GenotypeError(f"{kind} weights: edge {row}, {primitives[column]}: not finite")
    return array
