"""A supernet's cell as one function of compiled kernels, for the primitives that they know."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from advrush.kernels import cell as kernel
from advrush.kernels.separable_chain import Link, Wanted
from advrush.kernels.separable_conv import empty_map
from advrush.models.activation_checkpointing import uncounted
from advrush.models.fused.cell_plan import Part, Plan, split_matrix

Reference = Callable[[Sequence[Tensor], Tensor], Tensor]
"""The same cell in operations of autograd, from its inputs and weights."""


class _Call(NamedTuple):
    """What a call computes besides numbers."""

    plan: Plan
    reference: Reference
    inputs: int


def run_compiled(plan: Plan, inputs: Sequence[Tensor], weights: Tensor, reference: Reference) -> Tensor:
    """Return the joined output nodes of the cell that `plan` describes, under autograd.

    Args:
        plan: of these inputs and weights.
        inputs: maps (N, C, H, W), channels last.
        weights: (edges, primitives).
        reference: the same cell, of which second derivatives are taken.
    """
    parameters = plan.parameters
    call = _Call(plan, reference, len(inputs))
    return _CompiledCell.apply(call, weights, *inputs, *parameters)  # type: ignore[no-any-return, no-untyped-call]


class _CompiledCell(torch.autograd.Function):
    """The joined nodes as a function of weights, inputs and parameters; moves the running statistics."""

    @staticmethod
    def forward(ctx: Any, call: _Call, weights: Tensor, *tensors: Tensor) -> Tensor:
        plan, inputs, parameters = call.plan, tensors[: call.inputs], tensors[call.inputs :]
        maps = [*inputs, *(empty_map(inputs[0], *size) for size in plan.map_sizes[call.inputs :])]
        stages = [empty_map(inputs[0], *size) for size in plan.stage_sizes]
        found = plan.empty_statistics(inputs[0])
        links = _links(plan, parameters, stages, found, moved=True)
        kernel.forward(maps, call.inputs, plan.program, links, weights.detach().contiguous())
        ctx.call = call
        ctx.save_for_backward(weights, *tensors, *maps[call.inputs :], *stages, found)
        ctx.set_materialize_grads(False)
        return torch.cat([maps[i] for i in plan.outputs], dim=1)

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor | None) -> tuple[Tensor | None, ...]:
        (whole,), needs, call = cotangents, ctx.needs_input_grad, ctx.call
        if whole is None:
            return (None,) * len(needs)
        weights, *saved = ctx.saved_tensors
        if torch.is_grad_enabled():
            inputs = saved[: call.inputs]
            return None, *_differentiable(call, weights, inputs, whole, needs[1:])
        return None, *_gradients(call, weights, saved, whole, needs[1:])


def _gradients(
    call: _Call, weights: Tensor, saved: list[Tensor], whole: Tensor, needs: Sequence[bool]
) -> list[Tensor | None]:
    """Return the gradients of weights, inputs and parameters that `needs` asks for."""
    plan, count = call.plan, call.inputs
    first = count + len(plan.parameters)
    after = first + len(plan.sizes) - count
    parameters, stages, found = saved[count:first], saved[after:-1], saved[-1]
    maps = [*saved[:count], *saved[first:after]]
    gradients = _gradient_maps(plan, maps, whole, needs[1 : 1 + count])
    links = _links(plan, parameters, stages, found, moved=False)
    own = [torch.zeros_like(p) if need else None for p, need in zip(parameters, needs[1 + count :], strict=True)]
    wanted, whole_matrices = _wanted(plan, links, own)
    d_weights = weights.new_zeros(weights.shape) if needs[0] else None
    given = [i in plan.outputs for i in range(len(maps))]
    given = kernel.backward(maps, gradients, given, plan.program, links, wanted, weights.contiguous(), d_weights)
    for part, matrix in whole_matrices:
        split_matrix(matrix, [parameters[i] for i in part.pointwise], [own[i] for i in part.pointwise])
    inputs = [g if g is None or flag else g.zero_() for g, flag in zip(gradients[:count], given, strict=False)]
    return [d_weights, *inputs, *own]


def _gradient_maps(plan: Plan, maps: list[Tensor], whole: Tensor, needs: Sequence[bool]) -> list[Tensor | None]:
    """Return room for each map's gradient, that of the outputs filled with their part of the cotangent."""
    parts = dict(zip(plan.outputs, whole.chunk(len(plan.outputs), dim=1), strict=True))
    wanted = [*needs, *[True] * (len(maps) - len(needs))]
    for feature in plan.program.features:
        wanted[feature.map] = wanted[feature.source]
    return [
        parts[i].clone(memory_format=torch.channels_last) if i in parts else torch.empty_like(x) if want else None
        for i, (x, want) in enumerate(zip(maps, wanted, strict=True))
    ]


def _links(
    plan: Plan, parameters: Sequence[Tensor], stages: Sequence[Tensor], found: Tensor, *, moved: bool
) -> list[Link]:
    """Return the stages of all terms as the kernels take them; `moved`: with their running statistics."""
    z = iter(stages)
    return [
        part.link(parameters, next(z) if part.pointwise else None, own, moved=moved)
        for part, own in zip(plan.parts, found.unbind(), strict=True)
    ]


def _wanted(plan: Plan, links: list[Link], own: list[Tensor | None]) -> tuple[list[Wanted], list[tuple[Part, Tensor]]]:
    """Return where the gradients of each link go, and the matrices that hold those of two parameters."""
    wanted, matrices = [], []
    for part, link in zip(plan.parts, links, strict=True):
        depthwise, scale, shift = (None if i is None else own[i] for i in (part.depthwise, part.scale, part.shift))
        matrix = own[part.pointwise[0]] if part.pointwise else None
        if len(part.pointwise) > 1 and any(own[i] is not None for i in part.pointwise):
            matrix = torch.empty_like(link.pointwise)
            matrices.append((part, matrix))
        wanted.append(Wanted(depthwise, matrix, scale, shift))
    return wanted, matrices


def _differentiable(
    call: _Call, weights: Tensor, inputs: list[Tensor], whole: Tensor, needs: Sequence[bool]
) -> list[Tensor | None]:
    """Return the gradients in operations that autograd can go through once more."""
    norms = nn.ModuleList([part.norm for part in call.plan.parts])
    with uncounted(norms):
        y = call.reference(inputs, weights)
    tensors = [weights, *inputs, *call.plan.parameters]
    wanted = [each for each, need in zip(tensors, needs, strict=True) if need]
    found = iter(torch.autograd.grad(y, wanted, whole, create_graph=True, materialize_grads=True))
    return [next(found) if need else None for need in needs]
