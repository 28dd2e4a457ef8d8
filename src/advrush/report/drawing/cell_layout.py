"""A layered layout of a cell, computed by hand: columns by longest path, lanes for edges that pass a column.

Every edge's primitive is a box of its own in front of the node that it enters. An edge that spans several columns
runs through a lane of its own height in each of them, shared by all edges of the same source, so that no line
crosses a box.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

from advrush.space import CellGraph

OUTPUT = -1
"""The state that joins the outputs."""

PITCH = 30.0
"""Distance between the boxes of one node, in pixels."""
GAP = 14.0
"""Smallest distance between two things in a column."""
LANE = 14.0
SWEEPS = 12


@dataclass
class Item:
    """Something that takes height in a column: a state with the boxes that enter it, or a passing lane."""

    state: int
    lane: bool
    height: float
    y: float = 0.0
    boxes: list[int] = field(default_factory=list)
    """Edges that enter the state (indices into the graph's), from top to bottom."""


@dataclass(frozen=True)
class Layout:
    """Columns of items with their centers, and the graph's height; x is for the drawing to choose."""

    columns: tuple[tuple[Item, ...], ...]
    height: float

    def box_y(self, item: Item, edge: int) -> float:
        """Return the center of an edge's box."""
        return item.y + (item.boxes.index(edge) - (len(item.boxes) - 1) / 2) * PITCH

    def carrier(self, state: int, column: int) -> Item:
        """Return what carries a state's output through a column: the state itself or its lane."""
        return next(item for item in self.columns[column] if item.state == state)


def arrange(graph: CellGraph) -> Layout:
    """Place a cell: columns by the longest path from the inputs, few crossings, near neighbors level."""
    depth = _depths(graph)
    columns = _columns(graph, depth)
    links = _links(graph, depth, columns)
    best, fewest = [list(column) for column in columns], _crossings(columns, links)
    for sweep in range(SWEEPS):
        order = range(len(columns)) if sweep % 2 == 0 else range(len(columns) - 1, -1, -1)
        for index in order:
            side = index - 1 if sweep % 2 == 0 else index + 1
            if 0 <= side < len(columns):
                _sort(columns[index], columns[side], links)
        if (count := _crossings(columns, links)) < fewest:
            best, fewest = [list(column) for column in columns], count
    for _ in range(SWEEPS):
        for column in best:
            _level(column, links)
    _order_boxes(graph, depth, best)
    top = min(item.y - item.height / 2 for column in best for item in column)
    for column in best:
        for item in column:
            item.y -= top
    height = max(item.y + item.height / 2 for column in best for item in column)
    return Layout(tuple(tuple(column) for column in best), height)


def _depths(graph: CellGraph) -> dict[int, int]:
    depth = dict.fromkeys(range(graph.inputs), 0)
    for state in range(graph.inputs, graph.inputs + graph.nodes):
        depth[state] = 1 + max((depth[edge.source] for edge in graph.edges if edge.target == state), default=0)
    depth[OUTPUT] = 1 + max(depth.values())
    return depth


def _columns(graph: CellGraph, depth: dict[int, int]) -> list[list[Item]]:
    columns: list[list[Item]] = [[] for _ in range(depth[OUTPUT] + 1)]
    reach = {source: depth[target] for source, target in sorted(_pairs(graph), key=lambda pair: depth[pair[1]])}
    for state, column in depth.items():
        boxes = [index for index, edge in enumerate(graph.edges) if edge.target == state]
        columns[column].append(Item(state, False, max(1, len(boxes)) * PITCH, boxes=boxes))
        for passed in range(column + 1, reach.get(state, 0)):
            columns[passed].append(Item(state, True, LANE))
    for column_items in columns:
        _stack(column_items)
    return columns


def _pairs(graph: CellGraph) -> set[tuple[int, int]]:
    return {(edge.source, edge.target) for edge in graph.edges} | {(state, OUTPUT) for state in graph.outputs}


def _links(graph: CellGraph, depth: dict[int, int], columns: list[list[Item]]) -> dict[int, list[Item]]:
    """Return each item's neighbors in the columns beside it, by the item's id."""
    links: dict[int, list[Item]] = {id(item): [] for column in columns for item in column}
    at = {(item.state, index): item for index, column in enumerate(columns) for item in column}
    joined = set()
    for source, target in sorted(_pairs(graph)):
        for column in range(depth[source], depth[target]):
            end = (target if column + 1 == depth[target] else source, column + 1)
            if (source, column, end) not in joined:
                joined.add((source, column, end))
                links[id(at[source, column])].append(at[end])
                links[id(at[end])].append(at[source, column])
    return links


def _sort(column: list[Item], beside: list[Item], links: dict[int, list[Item]]) -> None:
    """Order a column by the mean place of each item's neighbors in the column beside it."""
    place = {id(item): index for index, item in enumerate(beside)}

    def center(pair: tuple[int, Item]) -> float:
        places = [place[id(other)] for other in links[id(pair[1])] if id(other) in place]
        return sum(places) / len(places) if places else float(pair[0])

    column[:] = [item for _, item in sorted(enumerate(column), key=center)]
    _stack(column)


def _crossings(columns: list[list[Item]], links: dict[int, list[Item]]) -> int:
    total = 0
    for left, right in pairwise(columns):
        place = {id(item): index for index, item in enumerate(right)}
        targets = [(i, id(other)) for i, item in enumerate(left) for other in links[id(item)]]
        lines = [(i, place[other]) for i, other in targets if other in place]
        total += sum((a - c) * (b - d) < 0 for k, (a, b) in enumerate(lines) for c, d in lines[:k])
    return total


def _stack(column: list[Item]) -> None:
    """Place a column's items below each other around zero."""
    y = -(sum(item.height + GAP for item in column) - GAP) / 2
    for item in column:
        item.y = y + item.height / 2
        y += item.height + GAP


def _level(column: list[Item], links: dict[int, list[Item]]) -> None:
    """Move each item towards its neighbors' mean height, keeping order and distances (isotonic regression)."""
    offsets, offset = [], 0.0
    for item in column:
        offsets.append(offset + item.height / 2)
        offset += item.height + GAP
    blocks: list[tuple[float, int]] = []
    for item, shift in zip(column, offsets, strict=True):
        near = links[id(item)]
        wish = sum(other.y for other in near) / len(near) if near else item.y
        mean, count = wish - shift, 1
        while blocks and blocks[-1][0] > mean:
            before, size = blocks.pop()
            mean, count = (mean * count + before * size) / (count + size), count + size
        blocks.append((mean, count))
    starts = [mean for mean, count in blocks for _ in range(count)]
    for item, shift, start in zip(column, offsets, starts, strict=True):
        item.y = start + shift


def _order_boxes(graph: CellGraph, depth: dict[int, int], columns: list[list[Item]]) -> None:
    """Order the boxes of each node as the lines come in, so that these do not cross."""
    for index, column in enumerate(columns):
        for item in column:
            heights = {other.state: other.y for other in columns[index - 1]} if index else {}
            item.boxes.sort(key=lambda edge: (heights[graph.edges[edge].source], edge))
