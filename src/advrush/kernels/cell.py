"""A supernet's cell as one call of compiled kernels forward and one backward."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from enum import IntEnum
from itertools import chain
from typing import NamedTuple

import torch
from torch import Tensor

from advrush.kernels import native
from advrush.kernels.separable_chain import LINK_FORMAT, Link, Wanted, link_fields


class FeatureKind(IntEnum):
    """What primitives read besides a state itself."""

    MAXIMUM = 0
    """Of each window of 3 x 3, padding 1."""
    AVERAGE = 1
    """Of its pixels that are no padding."""
    HALVES = 2
    """Twice the channels: the pixels (0, 0), (0, 2), ... and (1, 1), (1, 3), ...; the stride is 2."""


class Feature(NamedTuple):
    """A feature of a state; both are indices of maps."""

    kind: FeatureKind
    source: int
    map: int
    stride: int


class Term(NamedTuple):
    """`weights.flat[weight] * primitive(maps[input])` is added to `maps[target]`."""

    input: int
    target: int
    edge: int
    """Terms of one edge are added in one pass."""
    weight: int
    first: int
    """The first of its `links` links."""
    links: int
    """0: the map as it is. A link without a pointwise convolution is the batch norm of a map."""


class Program(NamedTuple):
    """A cell: features of its states and terms, ordered by target, then edge."""

    features: Sequence[Feature]
    terms: Sequence[Term]


def forward(maps: Sequence[Tensor], given: int, program: Program, links: Sequence[Link], weights: Tensor) -> None:
    """Write all maps but the first `given`, the cell's inputs; write each link's z and found.

    Args:
        maps: states, inputs first, and features (N, C, H, W), channels last.
        given: how many of them are inputs.
        program: what is computed.
        links: the stages of the terms; their running statistics are moved.
        weights: of the edges, contiguous, of the maps' type.
    """
    table = _table([(*_sizes(x, None), int(i < given)) for i, x in enumerate(maps)])
    native.call("cell_forward", weights.dtype, *_arguments(maps[0], table, program, links, ()), weights)


def backward(
    maps: Sequence[Tensor],
    gradients: Sequence[Tensor | None],
    given: Sequence[bool],
    program: Program,
    links: Sequence[Link],
    wanted: Sequence[Wanted],
    weights: Tensor,
    d_weights: Tensor | None,
) -> list[bool]:
    """Write the gradients of the maps that have room for one, and those wanted; add the weights' to `d_weights`, zeros.

    `given` says which gradients hold a part already, that of the cell's outputs; returns which do now: the others were
    not written to.
    """
    rows = zip(maps, gradients, given, strict=True)
    table = _table([(*_sizes(x, gradient), int(flag)) for x, gradient, flag in rows])
    native.call("cell_backward", weights.dtype, *_arguments(maps[0], table, program, links, wanted), weights, d_weights)
    return [bool(flag) for flag in table.view(len(maps), -1)[:, -1].tolist()]


def _sizes(x: Tensor, gradient: Tensor | None) -> tuple[int, ...]:
    """Return a map's record but for its last field."""
    _, channels, height, width = x.shape
    return x.data_ptr(), 0 if gradient is None else gradient.data_ptr(), height, width, channels


def _table(rows: Sequence[tuple[int, ...]]) -> Tensor:
    """Return records of integers as the kernels take them."""
    return torch.tensor(list(chain.from_iterable(rows)), dtype=torch.int64)


def _arguments(
    x: Tensor, maps: Tensor, program: Program, links: Sequence[Link], wanted: Sequence[Wanted]
) -> tuple[int | bytes | Tensor, ...]:
    none = Wanted()
    fields = [link_fields(link, wanted[i] if wanted else none) for i, link in enumerate(links)]
    packed = struct.pack("=" + LINK_FORMAT * len(links), *chain.from_iterable(fields))
    features, terms = _table(program.features), _table(program.terms)
    count = maps.numel() // 6
    return x.shape[0], count, maps, len(program.features), features, len(program.terms), terms, packed
