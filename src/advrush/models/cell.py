"""A cell of a derived network: one primitive on each edge of a graph."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor, nn

from advrush.kernels.concat import join
from advrush.models.fused.cell import run_chain
from advrush.models.fused.conv_chain import read_chain
from advrush.models.fused.frozen_cell import Graph, run_frozen
from advrush.models.fused.source import Source
from advrush.space.darts import DARTS
from advrush.space.genotype import CellGraph
from advrush.space.operations import FactorizedReduce, ReLUConvBN, operation
from advrush.space.space import CellPlan, Space


class Cell(nn.Module):
    """Preprocess the inputs to `channels`, sum the primitives that enter each node, concatenate the outputs.

    `previous` holds the channels of the states that the cell reads, the last state last. The names of the
    parameters are those of the published DARTS code: input i is prepared by `preprocess{i}`, edge k of the graph is
    `_ops.k`. A space without preprocessing hands its inputs on as they are.
    """

    def __init__(
        self,
        graph: CellGraph,
        plan: CellPlan,
        previous: tuple[int, ...],
        *,
        channels: int,
        affine: bool = True,
        space: Space = DARTS,
    ) -> None:
        super().__init__()
        self.graph = graph
        self.channels_out = channels * len(graph.outputs)
        for i, width in enumerate(previous):
            if not space.preprocess:
                prepare: nn.Module = nn.Identity()
            elif plan.previous_reduces and i + 1 < len(previous):
                prepare = FactorizedReduce(width, channels, affine)
            else:
                prepare = ReLUConvBN(width, channels, affine=affine)
            self.add_module(f"preprocess{i}", prepare)
        strides = [2 if plan.reduces and edge.source < graph.inputs else 1 for edge in graph.edges]
        self._ops = nn.ModuleList(
            operation(edge.primitive, channels, stride, affine=affine, own=space.operations)
            for edge, stride in zip(graph.edges, strides, strict=True)
        )
        self._incoming = [_incoming(graph, graph.inputs + node) for node in range(graph.nodes)]

    def forward(self, *inputs: Tensor, drop_path: float = 0.0) -> Tensor:
        """Return the concatenated outputs; `drop_path` is the probability of dropping a path in training."""
        if fused_path_applies(inputs[0]):
            whole = None if self.training else run_frozen(self, self._graph_of_modules, inputs)
            return self._shared(inputs, drop_path if self.training else 0.0) if whole is None else whole
        states = [prepare(x) for prepare, x in zip(self._prepare(), inputs, strict=True)]
        for rows in self._incoming:
            states.append(self._node(states, rows, drop_path if self.training else 0.0))
        return torch.cat([states[index] for index in self.graph.outputs], dim=1)

    def _prepare(self) -> list[nn.Module]:
        return [self.get_submodule(f"preprocess{i}") for i in range(self.graph.inputs)]

    def _graph_of_modules(self) -> Graph:
        nodes = [[(self.graph.edges[row].source, self._ops[row]) for row in rows] for rows in self._incoming]
        return Graph(self._prepare(), nodes, self.graph.outputs)

    def _shared(self, inputs: tuple[Tensor, ...], drop_path: float) -> Tensor:
        """Compute the same with what edges have in common computed once, by kernels that are quick on a CPU."""
        given = zip(self._prepare(), inputs, strict=True)
        states = [Source(_run(prepare, Source(x))) for prepare, x in given]
        for rows in self._incoming:
            total: Tensor | None = None
            for row in rows:
                module, source = self._ops[row], states[self.graph.edges[row].source]
                term = _run(module, source)
                if drop_path > 0 and not isinstance(module, nn.Identity):
                    term = drop(term, drop_path)
                total = term if total is None else total + term
            assert total is not None
            states.append(Source(total))
        return join([states[index].x for index in self.graph.outputs])

    def _node(self, states: list[Tensor], rows: tuple[int, ...], drop_path: float) -> Tensor:
        terms = []
        for row in rows:
            module = self._ops[row]
            term: Tensor = module(states[self.graph.edges[row].source])
            if drop_path > 0 and not isinstance(module, nn.Identity):
                term = drop(term, drop_path)
            terms.append(term)
        total = terms[0]
        for term in terms[1:]:
            total = total + term
        return total


_PLAIN: ContextVar[bool] = ContextVar("plain", default=False)


@contextmanager
def plain_modules() -> Iterator[None]:
    """Run networks module by module, as a counter or a tracer of operations expects them."""
    token = _PLAIN.set(True)
    try:
        yield
    finally:
        _PLAIN.reset(token)


def fused_path_applies(x: Tensor) -> bool:
    """Return whether the fused CPU path applies: CPU tensor, no autocast, not compiled, traced or exported."""
    if torch.compiler.is_compiling():  # first: the compiler cannot follow what comes after
        return False
    watched = _PLAIN.get() or torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
    return x.device.type == "cpu" and not watched and not torch.is_autocast_enabled("cpu")


def _run(module: nn.Module, source: Source) -> Tensor:
    """Run a primitive on a state; one that is no chain of known layers runs as it is."""
    chain = read_chain(module)
    y: Tensor = module(source.x) if chain is None else run_chain(chain, source)
    return y


def drop(x: Tensor, probability: float) -> Tensor:
    """Set whole examples of (N, C, H, W) to zero with `probability`; scale the others to keep the mean."""
    keep = 1.0 - probability
    # Not bernoulli_(keep): torch.compile would take each epoch's probability as a constant and compile anew.
    mask = torch.rand((x.shape[0], 1, 1, 1), device=x.device) < keep
    return x * (mask / keep).to(x.dtype)


def _incoming(graph: CellGraph, target: int) -> tuple[int, ...]:
    """Return the edges that enter a node, without those that only add zeros, unless there is nothing else."""
    rows = [row for row, edge in enumerate(graph.edges) if edge.target == target]
    active = [row for row in rows if graph.edges[row].primitive != "none"]
    return tuple(active or rows[:1])
