"""A supernet's cell with fixed batch norm linearized at its inputs: forward value, JVP, VJP, gradients of the edges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from advrush.kernels import native
from advrush.models.fused.conv_chain import Chain, read_chain
from advrush.models.fused.terms import Term, terms_of
from advrush.models.linearized.activations import LinearizedFeature, linearize
from advrush.models.linearized.affine import Affine, fold
from advrush.models.linearized.primitive import LinearizedPrimitive
from advrush.models.linearized.term import LinearizedTerm, linearize_term
from advrush.models.supernet import Cell

T = TypeVar("T")
Features = dict[tuple[object, ...], LinearizedFeature]
EdgeGradients = dict[Term, Tensor]
"""The derivative (a scalar) with respect to the weight that Eq. 7 gives each primitive of each edge."""


class FoldedCell:
    """The weights of a cell with its batch norms folded in, and the softmax weights (edges, primitives) of its kind."""

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


class CellVJP(NamedTuple):
    """What `LinearizedCell.vjp` returns for a cotangent c of the output f."""

    inputs: list[Tensor]
    """J^T c: the cotangent of each input."""
    edge_gradients: EdgeGradients
    """Those of <c, f>; empty unless they were asked for."""
    states: list[Tensor]
    """The cotangent of each state of the cell, as `LinearizedCell.jvp` takes them."""


class LinearizedCell:
    """A folded cell linearized at its inputs (N, C, H, W); no call changes it."""

    def __init__(self, cell: FoldedCell, inputs: Sequence[Tensor]) -> None:
        self.cell = cell
        given = zip(cell.inputs, inputs, strict=True)
        self._inputs = [
            LinearizedPrimitive(stages, linearize(chain.feature, x), whole=True) for (chain, stages), x in given
        ]
        self._features: list[Features] = []
        self._terms: dict[Term, LinearizedTerm] = {}
        values: dict[int, Tensor] = {i: each.value() for i, each in enumerate(self._inputs)}
        for state, outgoing in enumerate(cell.outgoing):
            features: Features = {}
            for term in outgoing:
                chain = _some(term.chain)
                if chain.key not in features:
                    features[chain.key] = linearize(chain.feature, values[state])
                self._terms[term], values[term.target] = linearize_term(
                    cell.stages[term], features[chain.key], cell.weight[term], values.get(term.target)
                )
            self._features.append(features)
        self._value = self._joined(values)

    def value(self) -> Tensor:
        """Return the joined output nodes f."""
        return self._value

    def jvp(self, inputs: Sequence[Tensor], cotangents: Sequence[Tensor]) -> tuple[Tensor, EdgeGradients]:
        """Return J t for the tangents t of the inputs, and the edge gradients of <c, J t>.

        `cotangents` are those of the states for c (`vjp(c).states`): a term's gradient is <cotangent of its target,
        its own tangent>.
        """
        given = enumerate(zip(self._inputs, inputs, strict=True))
        tangents: dict[int, Tensor] = {i: each.jvp(t) for i, (each, t) in given}
        edge_gradients: EdgeGradients = {}
        for state, outgoing in enumerate(self.cell.outgoing):
            of_features: dict[tuple[object, ...], Tensor] = {}
            for term in outgoing:
                own, key, t = self._terms[term], _some(term.chain).key, tangents[state]
                if not own.includes_feature:
                    if key not in of_features:
                        of_features[key] = self._features[state][key].jvp(t)
                    t = of_features[key]
                tangents[term.target], edge_gradients[term] = own.add_jvp(
                    t, tangents.get(term.target), cotangents[term.target]
                )
        return self._joined(tangents), edge_gradients

    def vjp(self, c: Tensor, *, edges: bool = True) -> CellVJP:
        """Return J^T c for a cotangent c of the output f and, with `edges`, the edge gradients of <c, f>."""
        outputs = self.cell.topology.outputs
        parts = dict(zip(outputs, c.chunk(len(outputs), dim=1), strict=True))
        states = [c] * len(self.cell.outgoing)
        totals: list[Tensor | None] = [None] * len(states)
        edge_gradients: EdgeGradients = {}
        for state in reversed(range(len(states))):
            part = parts.get(state)
            start = None if part is None else part.clone(memory_format=torch.channels_last)
            back, found = self._backward(state, start, states, totals)
            edge_gradients.update(found)
            states[state] = _some(back)
            totals[state] = _some(back).sum(dim=(0, 2, 3)) if edges else None
        given = zip(self._inputs, states, strict=False)
        return CellVJP([each.vjp(state)[0] for each, state in given], edge_gradients, states)

    def _backward(
        self, state: int, total: Tensor | None, cotangents: Sequence[Tensor], totals: Sequence[Tensor | None]
    ) -> tuple[Tensor | None, EdgeGradients]:
        """Return `total`, overwritten, plus the VJPs of the terms that leave `state`, and these terms' gradients.

        `totals` are the sums of the later states' cotangents over all pixels, None where no gradients are wanted.
        """
        of_features: dict[tuple[object, ...], Tensor] = {}
        edge_gradients: EdgeGradients = {}
        for term in self.cell.outgoing[state]:
            own, key = self._terms[term], _some(term.chain).key
            c, sums = cotangents[term.target], totals[term.target]
            if own.includes_feature:
                total, gradient = own.add_vjp(c, total, sums)
            else:
                of_features[key], gradient = own.add_vjp(c, of_features.get(key), sums)
            if gradient is not None:
                edge_gradients[term] = gradient
        for key, q in of_features.items():
            back = native.laid_out(self._features[state][key].vjp(q))
            total = back if total is None else total.add_(back)
        return total, edge_gradients

    def _joined(self, states: Mapping[int, Tensor]) -> Tensor:
        """Return the output nodes concatenated."""
        return torch.cat([states[i] for i in self.cell.topology.outputs], dim=1)


def _chain(module: torch.nn.Module) -> Chain:
    return _some(read_chain(module))


def _some(value: T | None) -> T:
    assert value is not None
    return value
