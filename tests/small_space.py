"""A search space of cells of one node: every kind of primitive, stride and cell of DARTS in a seventh of the edges."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from advrush.space import DARTS, SPACES, Topology, every_edge_space

PRIMITIVES = ("none", "avg_pool_3x3", "max_pool_3x3", "skip_connect", "sep_conv_3x3", "dil_conv_3x3")
SMALL = every_edge_space(
    "small", PRIMITIVES, Topology(2, 1, ((0, 2), (1, 2)), (2,)), DARTS.skeleton, kinds=DARTS.kinds, fewest_layers=3
)


@contextmanager
def registered() -> Iterator[None]:
    """Let configurations name the small space."""
    SPACES[SMALL.name] = SMALL
    try:
        yield
    finally:
        del SPACES[SMALL.name]
