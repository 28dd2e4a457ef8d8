"""A cell with fixed weights and statistics as one call of compiled kernels, forward and backward for its inputs."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from advrush.kernels import native
from advrush.kernels.separable_chain import Link, Wanted, packed
from advrush.kernels.separable_conv import empty_map


class Path(NamedTuple):
    """One term of the sum that a state is: a chain of stages on another state, or that state itself without any."""

    source: int
    target: int
    links: tuple[Link, ...]


@dataclass(frozen=True, eq=False)
class FrozenCell:
    """A cell with batch norm folded into its weights, and these in the order of the kernels' loops."""

    graph: bytes
    links: bytes
    weights: Tensor
    """A copy of all weights, in the kernels' order."""
    masks: int
    """How many numbers of 16 bits the masks of an example take."""
    size: tuple[int, int, int]
    """Channels, height and width of the output."""


def pack(given: Sequence[Tensor], paths: Sequence[Path], outputs: Sequence[int]) -> FrozenCell:
    """Return the cell whose first states are maps like `given` (N, C, H, W), and whose `outputs` are concatenated.

    The paths are ordered by their targets, which are numbered from `len(given)` on, each with a path at least; their
    links hold batch norms' running statistics. Weights that change afterwards change nothing.
    """
    states: list[tuple[int, int, int]] = [(x.shape[1], x.shape[2], x.shape[3]) for x in given]
    table: list[int] = []
    links: list[Link] = []
    for path in paths:
        channels, height, width = states[path.source]
        for link in path.links:
            channels, stride = link.pointwise.shape[0], link.shape.stride
            height, width = -(-height // stride), -(-width // stride)
        if path.target == len(states):
            states.append((channels, height, width))
        assert states[path.target] == (channels, height, width), "all paths to a state make maps of one size"
        table += [path.source, path.target, len(links), len(path.links)]
        links += path.links
    numbers = [len(states), len(given), len(paths), len(outputs), len(links)]
    numbers += [*(n for state in states for n in state), *table, *outputs]
    graph, packed_links = struct.pack(f"={len(numbers)}q", *numbers), b"".join(packed(link, Wanted()) for link in links)
    sizes, dtype = torch.empty(2, dtype=torch.int64), given[0].dtype
    native.call("frozen_cell_sizes", dtype, graph, packed_links, sizes)
    weights = torch.empty(int(sizes[0]), dtype=dtype)
    native.call("frozen_cell_pack", dtype, graph, packed_links, weights)
    _, height, width = states[outputs[0]]
    size = (sum(states[k][0] for k in outputs), height, width)
    return FrozenCell(graph, packed_links, weights, int(sizes[1]), size)


def forward(cell: FrozenCell, given: Sequence[Tensor], *, masks: bool) -> tuple[Tensor, Tensor | None]:
    """Return the cell's output (N, C, H, W), channels last, and where `masks` the lanes that each ReLU keeps.

    `given` are maps of the sizes that the cell was packed for, channels last.
    """
    maps = [native.laid_out(x) for x in given]
    n, dtype = len(maps[0]), maps[0].dtype
    y = empty_map(maps[0], *cell.size)
    kept = torch.empty(n * cell.masks, dtype=torch.int16) if masks else None
    native.call("frozen_cell_forward", dtype, cell.graph, cell.links, cell.weights, n, native.addresses(maps), y, kept)
    return y, kept


def backward(cell: FrozenCell, dy: Tensor, masks: Tensor, dx: Sequence[Tensor | None]) -> None:
    """Write the gradients of <dy, output> for the given maps to `dx`, maps (N, C, H, W), channels last, or None."""
    dy = native.laid_out(dy)
    native.call(
        "frozen_cell_backward", dy.dtype, cell.graph, cell.links, cell.weights, len(dy), dy, masks, native.addresses(dx)
    )
