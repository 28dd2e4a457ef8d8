"""A derived network's cell with fixed weights and statistics, as in an attack, as one function of compiled kernels.

Nothing is kept for the backward pass but the cell's inputs and, of each ReLU, a bit for each number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, relu

from advrush.kernels import frozen_cell as kernel
from advrush.kernels import native
from advrush.kernels.frozen_cell import FrozenCell, Path
from advrush.models.fused.cell import run_chain
from advrush.models.fused.conv_chain import Chain, read_chain
from advrush.models.fused.separable_chain import (
    Stages,
    are_frozen,
    filtered,
    folded,
    frozen_links,
    separable_stages,
)
from advrush.models.fused.source import Source
from advrush.modes import kept_values


class Graph(NamedTuple):
    """The modules of a cell."""

    prepare: Sequence[nn.Module]
    """One for each input."""
    nodes: Sequence[Sequence[tuple[int, nn.Module]]]
    """The terms of each node's sum: the state that is read, inputs first, and the primitive."""
    outputs: Sequence[int]


class Term(NamedTuple):
    """The stages that lead from a state to another, none for the state itself."""

    source: int
    target: int
    stages: Stages


class Plan(NamedTuple):
    """A cell as the kernels take it, and what that was made of."""

    before: tuple[Chain | None, ...]
    """What is done to each input before the kernels; None: nothing."""
    terms: list[Term]
    outputs: list[int]
    cell: FrozenCell
    tensors: list[Tensor]
    found: list[tuple[int, int, bool]]
    """The identity of these tensors and of their values."""

    def holds(self) -> bool:
        """Return whether all weights are as they were, and still fixed."""
        norms = (stage.norm for term in self.terms for stage in term.stages)
        return _identities(self.tensors) == self.found and not any(norm.training for norm in norms)


def run_frozen(owner: nn.Module, graph: Callable[[], Graph], inputs: tuple[Tensor, ...]) -> Tensor | None:
    """Return the output of a cell on inputs (N, C, H, W) under autograd, None where the compiled kernels do not apply.

    Args:
        owner: the cell, whose plan is kept within `weights_unchanged`.
        graph: returns the cell's modules.
        inputs: the maps.
    """
    if not native.applies(*inputs) or inputs[0].numel() == 0:
        return None
    key, kept = (id(owner), *((x.shape[1:], x.dtype) for x in inputs)), kept_values()
    # with the owner, so that no other has its id meanwhile
    _, plan = cast("tuple[nn.Module, Plan | None]", (owner, None) if kept is None else kept.get(key, (owner, None)))
    if plan is None or not plan.holds():
        parsed = _parsed(graph(), inputs[0].dtype)
        if parsed is None:
            return None
        given = [_before(chain, x) for chain, x in zip(parsed.before, inputs, strict=True)]
        plan = _packed(parsed, given)
        if kept is not None:
            kept[key] = owner, plan
    else:
        given = [_before(chain, x) for chain, x in zip(plan.before, inputs, strict=True)]
    return _Frozen.apply(plan, *given)  # type: ignore[no-any-return, no-untyped-call]


class _Parsed(NamedTuple):
    """The first three fields of a plan."""

    before: tuple[Chain | None, ...]
    terms: list[Term]
    outputs: list[int]


def _parsed(graph: Graph, dtype: torch.dtype) -> _Parsed | None:
    """Return the cell as sums of separable chains, None where it is none of fixed weights of this type."""
    before: list[Chain | None] = []
    terms: list[Term] = []
    where: list[int] = []  # the kernels' number of each state of the graph
    count = len(graph.prepare)
    for i, module in enumerate(graph.prepare):
        chain = read_chain(module)
        if chain is None:
            return None
        stages = _stages(chain, dtype)
        before.append(chain if stages is None else None)
        where.append(count + len(terms) if stages else i)
        if stages:
            terms.append(Term(i, where[i], stages))
    first = count + len(terms)
    for node, edges in enumerate(graph.nodes):
        where.append(first + node)
        for source, module in edges:
            chain = read_chain(module)
            stages = None if chain is None else _stages(chain, dtype)
            if stages is None:
                return None
            terms.append(Term(where[source], where[-1], stages))
    return _Parsed(tuple(before), terms, [where[k] for k in graph.outputs])


def _stages(chain: Chain, dtype: torch.dtype) -> Stages | None:
    """Return the stages of a chain, none for the identity; None where the kernels do not take it."""
    if chain.feature is None and not chain.stages:
        return ()
    stages = separable_stages(chain)
    if stages is None or not are_frozen(stages):
        return None
    return stages if all(each.dtype == dtype for stage in stages for each in stage.tensors()) else None


def _before(chain: Chain | None, x: Tensor) -> Tensor:
    return x if chain is None else run_chain(chain, Source(x))


def _packed(parsed: _Parsed, given: Sequence[Tensor]) -> Plan:
    before, terms, outputs = parsed
    paths = [Path(term.source, term.target, tuple(frozen_links(term.stages))) for term in terms]
    tensors = [each for term in terms for stage in term.stages for each in stage.tensors()]
    cell = kernel.pack(given, paths, outputs)
    return Plan(before, terms, outputs, cell, tensors, _identities(tensors))


def _identities(tensors: list[Tensor]) -> list[tuple[int, int, bool]]:
    return [(each.data_ptr(), each._version, each.requires_grad) for each in tensors]


class _Frozen(torch.autograd.Function):
    """The cell as a function of its inputs alone."""

    @staticmethod
    def forward(ctx: Any, plan: Plan, *given: Tensor) -> Tensor:
        y, ctx.masks = kernel.forward(plan.cell, given, masks=any(ctx.needs_input_grad))
        ctx.plan = plan
        ctx.save_for_backward(*given)
        return y

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Tensor | None, ...]:
        given, (dy,), needs = ctx.saved_tensors, cotangents, ctx.needs_input_grad[1:]
        if torch.is_grad_enabled():
            wanted = [x for x, need in zip(given, needs, strict=True) if need]
            found = iter(torch.autograd.grad(_differentiable(ctx.plan, given), wanted, dy, create_graph=True))
            return None, *(next(found) if need else None for need in needs)
        dx = [torch.empty_like(x) if need else None for x, need in zip(given, needs, strict=True)]
        kernel.backward(ctx.plan.cell, dy, ctx.masks, dx)
        return None, *dx


def _differentiable(plan: Plan, given: Sequence[Tensor]) -> Tensor:
    """Return the same in operations that autograd can go through once more."""
    states = list(given)
    for term in plan.terms:
        y = states[term.source]
        for stage in term.stages:
            matrix, bias = folded(stage)
            filters = stage.weights[0]
            y = conv2d(filtered(stage, relu(y), None if filters is None else filters.detach()), matrix, bias)
        if term.target == len(states):
            states.append(y)
        else:
            states[term.target] = states[term.target] + y
    return torch.cat([states[k] for k in plan.outputs], dim=1)
