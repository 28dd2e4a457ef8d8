"""The steepest slope of a loss surface."""

from __future__ import annotations

import numpy as np

from advrush.analysis.input_plane import Landscape
from advrush.analysis.intervals import Array, statistic_interval


def steepest(surface: Array, spacing: float) -> float:
    """Return the largest length of the gradient of a surface (points, points), by central differences."""
    down, across = np.gradient(surface, spacing)
    return float(np.hypot(down, across).max())


def steepest_slope(landscape: Landscape, *, seed: int = 0) -> dict[str, float]:
    """Return the steepest slope of the averaged surface, in loss for one unit of the axes, and its 95% interval.

    The interval is a percentile bootstrap over the images.
    """
    losses = landscape.losses.double().numpy()
    points = losses.shape[1]
    spacing = float(landscape.coordinates[1] - landscape.coordinates[0])
    return statistic_interval(
        losses.reshape(len(losses), -1), lambda row: steepest(row.reshape(points, points), spacing), seed=seed
    )
