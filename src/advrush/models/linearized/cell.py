"""A cell with fixed batch norm at a point: its value, and the passes along its edges in both directions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor

from advrush.models.fused.cell import Term, terms_of
from advrush.models.fused.conv_chain import Chain, read_chain
from advrush.models.linearized.activations import FeatureAt, feature_at
from advrush.models.linearized.affine import Affine, fold
from advrush.models.linearized.primitive import Branch, dot
from advrush.models.supernet import Cell

T = TypeVar("T")


class FoldedCell:
    """The weights of a cell with its batch norms folded in, and its edges' weights (edges, primitives)."""

    def __init__(self, cell: Cell, weights: Tensor) -> None:
        self.kind, self.topology = cell.kind, cell.topology
        self.terms = terms_of(cell.topology, cell.primitives())
        self.inputs = [(chain, fold(chain.stages)) for chain in map(_chain, cell.preprocess)]
        self.stages: dict[Term, list[Affine]] = {t: fold(t.chain.stages) for t in self.terms if t.chain is not None}
        rows = [row.unbind() for row in weights.detach().unbind()]
        self.weight = {t: rows[t.row][t.column] for t in self.terms}
        self.outgoing = [
            [t for t in self.terms if t.source == i] for i in range(len(self.inputs) + cell.topology.nodes)
        ]


class CellAt:
    """A folded cell at its inputs' values."""

    def __init__(self, cell: FoldedCell, inputs: Sequence[Tensor]) -> None:
        self.cell = cell
        self._inputs = [Branch(s, feature_at(c.feature, x)) for (c, s), x in zip(cell.inputs, inputs, strict=True)]
        self._features: list[dict[tuple[object, ...], FeatureAt]] = []
        self._branches: dict[Term, Branch] = {}
        self.output = self._evaluate()
        self.cotangents: list[Tensor] = []
        """One for each state, of the last `transpose`."""

    def _evaluate(self) -> Tensor:
        nodes = _Nodes(self.cell, [branch.value() for branch in self._inputs])
        for state, outgoing in enumerate(self.cell.outgoing):
            features: dict[tuple[object, ...], FeatureAt] = {}
            for term in outgoing:
                chain = _some(term.chain)
                if chain.key not in features:
                    features[chain.key] = feature_at(chain.feature, nodes.values[state])
                branch = self._branches[term] = Branch(self.cell.stages[term], features[chain.key])
                nodes.add(term, branch.value())
            self._features.append(features)
        return nodes.joined()

    def tangent(self, inputs: Sequence[Tensor], slopes: dict[Term, Tensor]) -> Tensor:
        """Push the inputs' tangents through; put <cotangent of the target, tangent of the term> into `slopes`."""
        given = zip(self._inputs, inputs, strict=True)
        nodes = _Nodes(self.cell, [branch.tangent(branch.feature.tangent(t)) for branch, t in given])
        for state, outgoing in enumerate(self.cell.outgoing):
            along = {key: feature.tangent(nodes.values[state]) for key, feature in self._features[state].items()}
            for term in outgoing:
                y = self._branches[term].tangent(along[_some(term.chain).key])
                slopes[term] = dot(self.cotangents[term.target], y)
                nodes.add(term, y)
        return nodes.joined()

    def transpose(self, c: Tensor, slopes: dict[Term, Tensor] | None = None) -> list[Tensor]:
        """Pull the output's cotangent back to the inputs; put <cotangent of the target, term> into `slopes`."""
        states = len(self.cell.outgoing)
        outputs = self.cell.topology.outputs
        parts = dict(zip(outputs, c.chunk(len(outputs), dim=1), strict=True))
        cotangents: list[Tensor] = [c] * states
        totals: list[Tensor | None] = [None] * states
        for state in reversed(range(states)):
            back = self._gather(state, cotangents, totals, slopes)
            if state in parts:
                part = parts[state].contiguous(memory_format=torch.channels_last)
                back = part if back is None else back + part
            cotangents[state] = _some(back)
            totals[state] = None if slopes is None else _some(back).sum(dim=(0, 2, 3))
        self.cotangents = cotangents
        given = zip(self._inputs, cotangents, strict=False)
        return [branch.feature.transpose(branch.transpose(c)[0]) for branch, c in given]

    def _gather(
        self, state: int, cotangents: list[Tensor], totals: list[Tensor | None], slopes: dict[Term, Tensor] | None
    ) -> Tensor | None:
        """Return the sum of what the terms that leave `state` pull back to it."""
        sums: dict[tuple[object, ...], Tensor] = {}
        for term in self.cell.outgoing[state]:
            q, slope = self._branches[term].transpose(cotangents[term.target], totals[term.target])
            if slopes is not None and slope is not None:
                slopes[term] = slope
            key, weight = _some(term.chain).key, self.cell.weight[term]
            if key in sums:
                sums[key].addcmul_(q, weight)
            else:
                sums[key] = q * weight
        total: Tensor | None = None
        for key, c in sums.items():
            part = self._features[state][key].transpose(c)
            total = part if total is None else total.add_(part)
        return total


class _Nodes:
    """The states of a cell, or their tangents, as they fill up."""

    def __init__(self, cell: FoldedCell, inputs: list[Tensor]) -> None:
        self.cell = cell
        self.values: dict[int, Tensor] = dict(enumerate(inputs))

    def add(self, term: Term, y: Tensor) -> None:
        """Add `weight * y` to the target of `term`."""
        weight = self.cell.weight[term]
        if term.target in self.values:
            self.values[term.target].addcmul_(y, weight)
        else:
            self.values[term.target] = y * weight

    def joined(self) -> Tensor:
        """Return the output nodes side by side."""
        return torch.cat([self.values[i] for i in self.cell.topology.outputs], dim=1)


def _chain(module: torch.nn.Module) -> Chain:
    return _some(read_chain(module))


def _some(value: T | None) -> T:
    assert value is not None
    return value
