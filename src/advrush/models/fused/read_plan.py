"""Read the terms of a cell as a plan of the compiled kernels, where they know all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from advrush.kernels import native
from advrush.kernels.avg_pool import same_window
from advrush.kernels.cell import FeatureKind
from advrush.kernels.cell import Term as KernelTerm
from advrush.kernels.separable_conv import POINTWISE, StageShape
from advrush.models.fused.cell_plan import Part, Plan, Size
from advrush.models.fused.conv_chain import Chain
from advrush.models.fused.separable_chain import separable_stages
from advrush.models.fused.terms import Term
from advrush.space.operations import FactorizedReduce, PointwiseConv
from advrush.space.space import Topology


class _Stage(NamedTuple):
    """The layers of a part."""

    shape: StageShape
    depthwise: nn.Conv2d | None
    pointwise: tuple[nn.Conv2d, ...]
    norm: nn.BatchNorm2d


class _Primitive(NamedTuple):
    """What a chain reads, with which stride (None: the state itself), and its stages."""

    feature: tuple[FeatureKind, int] | None
    stages: tuple[_Stage, ...]


def read_plan(topology: Topology, terms: Sequence[Term], inputs: Sequence[Tensor], weights: Tensor) -> Plan | None:
    """Return the plan of a cell, or None where the compiled kernels do not take it.

    Args:
        topology: which nodes the edges join, and which nodes are outputs.
        terms: of the cell.
        inputs: maps (N, C, H, W).
        weights: (edges, primitives).
    """
    if not native.applies(*inputs) or weights.dtype != inputs[0].dtype or len({len(x) for x in inputs}) > 1:
        return None
    if any(x.numel() == 0 for x in inputs) or len(set(topology.outputs)) < len(topology.outputs):
        return None
    sizes: list[Size | None] = [(x.shape[1], x.shape[2], x.shape[3]) for x in inputs]
    plan = Plan(topology.outputs, [*sizes, *[None] * topology.nodes])
    for term in sorted(terms, key=lambda term: (term.target, term.row)):
        primitive = None if term.chain is None else _read(term.chain)
        if primitive is None or not _enter(plan, term, primitive, weights):
            return None
    if None in plan.sizes or min(topology.outputs) < len(inputs):
        return None
    return plan if len({plan.sizes[i] for i in topology.outputs}) == 1 else None


def _read(chain: Chain) -> _Primitive | None:
    """Return what the kernels make of a chain."""
    separable = separable_stages(chain)
    if separable is not None:
        return _Primitive(None, tuple(_Stage(s.shape, s.depthwise, (s.pointwise,), s.norm) for s in separable))
    if len(chain.stages) > 1:
        return None
    layers, norm = (chain.stages[0].layers, chain.stages[0].norm) if chain.stages else ((), None)
    if layers:
        return _halves(layers[0], norm) if len(layers) == 1 and type(chain.feature) is nn.ReLU else None
    stages = () if norm is None else (_Stage(POINTWISE, None, (), norm),)
    match chain.feature:
        case None:
            return _Primitive(None, stages)
        case nn.MaxPool2d() as pool if (pool.kernel_size, pool.padding, pool.dilation, pool.ceil_mode) == (
            3,
            1,
            1,
            False,
        ):
            return _Primitive((FeatureKind.MAXIMUM, pool.stride), stages) if isinstance(pool.stride, int) else None
        case nn.AvgPool2d() as pool if (window := same_window(pool)) is not None and window[0] == 3:
            return _Primitive((FeatureKind.AVERAGE, window[1]), stages)
    return None


def _halves(layer: nn.Module, norm: nn.BatchNorm2d | None) -> _Primitive | None:
    """Return a factorized reduce as one pointwise convolution of the two halves."""
    if not isinstance(layer, FactorizedReduce) or norm is None:
        return None
    convolutions = (layer.conv_1, layer.conv_2)
    if any(type(each) is not PointwiseConv or each.bias is not None or each.groups != 1 for each in convolutions):
        return None
    return _Primitive((FeatureKind.HALVES, 2), (_Stage(POINTWISE, None, convolutions, norm),))


def _enter(plan: Plan, term: Term, primitive: _Primitive, weights: Tensor) -> bool:
    """Add a term to the plan; return False where its layers are not as the kernels need them."""
    if plan.sizes[term.source] is None:
        return False
    read = term.source if primitive.feature is None else plan.feature(*primitive.feature, term.source)
    size, first = plan.sizes[read], len(plan.parts)
    for stage in primitive.stages:
        if size is None or (given := _channels(stage)) is None or given[0] != size[0]:
            return False
        size = (given[1], -(-size[1] // stage.shape.stride), -(-size[2] // stage.shape.stride))
        if stage.pointwise:
            plan.stage_sizes.append(size)
        part = _part(plan, stage, weights.dtype)
        if part is None:
            return False
        plan.parts.append(part)
    if plan.sizes[term.target] not in (None, size):
        return False
    plan.sizes[term.target] = size
    number = term.row * weights.shape[1] + term.column
    plan.terms.append(KernelTerm(read, term.target, term.row, number, first, len(plan.parts) - first))
    return True


def _channels(stage: _Stage) -> tuple[int, int] | None:
    """Return the channels that a stage takes and gives, None where its layers do not agree on them."""
    own = stage.norm.num_features
    if not stage.pointwise:
        return own, own
    given = sum(each.in_channels for each in stage.pointwise)
    if stage.depthwise is not None and stage.depthwise.in_channels != given:
        return None
    return (given, own) if sum(each.out_channels for each in stage.pointwise) == own else None


def _part(plan: Plan, stage: _Stage, dtype: torch.dtype) -> Part | None:
    """Enter a stage's parameters; return None where they are not plain numbers of this type on a CPU.

    The batch norm must normalize by the batch and move running statistics by a momentum.
    """
    norm, convolutions = stage.norm, [each.weight for each in (stage.depthwise, *stage.pointwise) if each is not None]
    if type(norm) is not nn.BatchNorm2d or not (norm.training and norm.track_running_stats) or norm.momentum is None:
        return None
    mean, variance, batches, scale, shift = (
        norm.running_mean, norm.running_var, norm.num_batches_tracked, norm.weight, norm.bias
    )  # fmt: skip
    for each in (*convolutions, mean, variance, scale, shift):
        if each is not None and (each.dtype != dtype or not each.is_cpu or type(each) not in (Tensor, nn.Parameter)):
            return None
    own = [plan.parameter(each) for each in convolutions]
    first = 0 if stage.depthwise is None else 1
    gamma, beta = (None if each is None else plan.parameter(each) for each in (scale, shift))
    return Part(
        stage.shape, own[0] if first else None, tuple(own[first:]), gamma, beta, norm, (mean, variance, batches)
    )
