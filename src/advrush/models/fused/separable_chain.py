"""A chain of separable convolutions, each ReLU, depthwise, pointwise, batch norm, as one function of compiled kernels.

Between the stages nothing but the pointwise convolutions' outputs z is stored: batch norm's scale and shift and the
next ReLU are applied where z is read, and the sums of batch norm are taken where z and its gradient are written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, relu

from advrush.kernels import native
from advrush.kernels import separable_conv as kernel
from advrush.kernels.batch_statistics import fixed_scale_and_shift, normalize_batch, track
from advrush.kernels.depthwise_conv import depthwise_conv2d
from advrush.kernels.native_norm import (
    BatchStatistics,
    NormGradients,
    channel_sums,
    combine,
    norm_gradients,
    statistics,
)
from advrush.kernels.separable_conv import Before, Cotangent, StageShape
from advrush.models.fused.conv_chain import Chain
from advrush.models.fused.layers import is_depthwise, is_pointwise


class SeparableStage(NamedTuple):
    """ReLU, depthwise convolution, pointwise convolution, batch norm."""

    depthwise: nn.Conv2d
    pointwise: nn.Conv2d
    norm: nn.BatchNorm2d

    @property
    def shape(self) -> StageShape:
        """Return the shape parameters of the depthwise convolution."""
        layer = self.depthwise
        return StageShape(layer.kernel_size[0], layer.stride[0], layer.dilation[0])


Stages = tuple[SeparableStage, ...]


def separable_stages(chain: Chain) -> Stages | None:
    """Return the stages of a chain that is a ReLU and separable convolutions alone, None for any other."""
    if type(chain.feature) is not nn.ReLU or not chain.stages:
        return None
    stages: list[SeparableStage] = []
    for stage in chain.stages:
        if len(stage.layers) != 2 or type(stage.norm) is not nn.BatchNorm2d:
            return None
        depthwise, pointwise = stage.layers
        if not (type(depthwise) is nn.Conv2d and is_depthwise(depthwise) and is_pointwise(pointwise)):
            return None
        stages.append(SeparableStage(depthwise, cast(nn.Conv2d, pointwise), stage.norm))
        if not stages[-1].shape.is_built():
            return None
    return tuple(stages)


def run_separable(chain: Chain, x: Tensor, weight: Tensor | None = None, node: Tensor | None = None) -> Tensor | None:
    """Return `node + weight * chain(x)` under autograd, None where the compiled kernels do not apply.

    Args:
        chain: the layers.
        x: (N, C, H, W), before the chain's first ReLU.
        weight: a scalar; 1 if it is not given.
        node: a map of the result's shape, which is changed in place; nothing is added if it is not given.
    """
    stages = separable_stages(chain)
    if stages is None or not native.applies(x, *(() if node is None else (node,))):
        return None
    weights = [each for stage in stages for each in (stage.depthwise.weight, stage.pointwise.weight)]
    if any(w.dtype != x.dtype or type(w) is not nn.Parameter for w in weights) or x.numel() == 0:
        return None
    norms = [stage.norm for stage in stages]
    if all(norm.training and norm.track_running_stats and norm.momentum is not None for norm in norms):
        affine = [each for norm in norms for each in (norm.weight, norm.bias)]
        plan = _Plan(stages, tuple(norm.eps for norm in norms))
        y, *found = _Chain.apply(plan, x, weight, node, *weights, *affine)  # type: ignore[no-untyped-call]
        for i, norm in enumerate(norms):
            track([norm], found[2 * i], found[2 * i + 1], y.numel() // y.shape[1])
        return cast(Tensor, y)
    if any(norm.training or norm.running_var is None for norm in norms) or weight is not None or node is not None:
        return None
    trained = [*weights, *(p for norm in norms if norm.affine for p in (norm.weight, norm.bias))]
    if any(w.requires_grad for w in trained):  # folded, they would have no gradient
        return None
    return _Frozen.apply(stages, x)  # type: ignore[no-any-return, no-untyped-call]


@dataclass(frozen=True)
class _Plan:
    """What `_Chain` needs beside tensors."""

    stages: Stages
    eps: tuple[float, ...]


class _Chain(torch.autograd.Function):
    """The chain with batch statistics; returns y and, for each stage, mean and biased variance of the batch."""

    @staticmethod
    def forward(
        ctx: Any, plan: _Plan, x: Tensor, weight: Tensor | None, node: Tensor | None, *parameters: Tensor | None
    ) -> tuple[Tensor, ...]:
        maps, found = [x], []
        before = Before(rectify=True)
        for i, stage in enumerate(plan.stages):
            filters, matrix, gamma, beta = _parameters(parameters, i, len(plan.stages))
            z, sums = kernel.forward(maps[-1], filters, matrix, stage.shape, before, sums=True)
            assert sums is not None
            found.append(statistics(sums, z.numel() // z.shape[1], plan.eps[i]))
            before = _normalized(found[-1], gamma, beta, x.dtype)
            maps.append(z)
        assert before.scale is not None
        assert before.shift is not None
        scale, shift = before.scale, before.shift
        if weight is not None:
            scale, shift = scale * weight, shift * weight
        out = node if node is not None else torch.empty_like(maps[-1])
        if node is not None:
            ctx.mark_dirty(node)
        y = combine(maps[-1], scale, shift, node, out=out)
        ctx.plan, ctx.found, ctx.adds = plan, found, node is not None
        ctx.save_for_backward(weight, *parameters, *maps)
        tracked = [each.to(x.dtype) for one in found for each in (one.mean, one.variance)]
        ctx.mark_non_differentiable(*tracked)
        ctx.set_materialize_grads(False)
        return y, *tracked

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor | None) -> tuple[Tensor | None, ...]:
        plan, dy = ctx.plan, cotangents[0]
        if dy is None:
            return (None,) * len(ctx.needs_input_grad)
        weight, *rest = ctx.saved_tensors
        count = len(plan.stages)
        parameters, maps = rest[: 4 * count], rest[4 * count :]
        node = dy if ctx.adds else None
        if torch.is_grad_enabled():
            return None, *_differentiable(ctx, weight, parameters, maps[0], dy, node)
        dy = dy.contiguous(memory_format=torch.channels_last)
        gradients: list[Tensor | None] = [None] * len(parameters)
        sums, given, d_weight = channel_sums(dy, maps[-1]), dy, None
        for i in reversed(range(count)):
            filters, matrix, gamma, beta = _parameters(parameters, i, count)
            scale = torch.ones_like(sums[0]) if gamma is None else gamma.detach().double()
            last = i == count - 1
            factor = weight.detach().double() if last and weight is not None else None
            norm = norm_gradients(sums, scale if factor is None else scale * factor, ctx.found[i], dy.dtype)
            if factor is not None and ctx.needs_input_grad[2]:
                d_weight = _weight_gradient(norm, scale, beta).to(weight.dtype).view_as(weight)
            for slot, found in ((2 * count + 2 * i, norm.scale), (2 * count + 2 * i + 1, norm.shift)):
                if ctx.needs_input_grad[4 + slot]:
                    gradients[slot] = (found if factor is None else found * factor).to(dy.dtype)
            before = Before(rectify=True)
            if i:
                before = _normalized(ctx.found[i - 1], *_parameters(parameters, i - 1, count)[2:], dy.dtype)
            wanted = (ctx.needs_input_grad[4 + 2 * i], ctx.needs_input_grad[4 + 2 * i + 1])
            if not (any(wanted) or ctx.needs_input_grad[1] or any(ctx.needs_input_grad[4 : 4 + 2 * i])):
                break
            cotangent = Cotangent(given, maps[i + 1], norm.a, norm.b, norm.e)
            back = kernel.backward(
                maps[i], filters, matrix, plan.stages[i].shape, before, cotangent, weights=wanted, sums=i > 0
            )
            gradients[2 * i], gradients[2 * i + 1] = back.depthwise, back.pointwise
            given = back.x
            if back.sums is not None:
                sums = back.sums
        dx = given if ctx.needs_input_grad[1] else None
        return None, dx, d_weight, node, *gradients


def _parameters(parameters: Any, stage: int, count: int) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    """Return filters, matrix, scale and shift of a stage from the list of a chain: convolutions first, then norms."""
    first, second = 2 * stage, 2 * (count + stage)
    return (*parameters[first : first + 2], *parameters[second : second + 2])


def _normalized(found: BatchStatistics, gamma: Tensor | None, beta: Tensor | None, dtype: torch.dtype) -> Before:
    """Return batch norm and ReLU as what is done before the next stage."""
    scale = found.inverse_std if gamma is None else found.inverse_std * gamma.detach().double()
    shift = -found.mean * scale if beta is None else beta.detach().double() - found.mean * scale
    return Before(True, scale.to(dtype), shift.to(dtype))


def _weight_gradient(norm: NormGradients, scale: Tensor, beta: Tensor | None) -> Tensor:
    """Return <dy, norm(z)>."""
    along = torch.dot(norm.scale, scale)
    return along if beta is None else along + torch.dot(norm.shift, beta.detach().double())


def _differentiable(
    ctx: Any, weight: Tensor | None, parameters: list[Tensor | None], x: Tensor, dy: Tensor, node: Tensor | None
) -> tuple[Tensor | None, ...]:
    """Return the gradients of x, weight, node and parameters in operations that autograd can go through once more."""
    plan, count = ctx.plan, len(ctx.plan.stages)
    y = x
    for i, stage in enumerate(plan.stages):
        filters, matrix, gamma, beta = _parameters(parameters, i, count)
        u = depthwise_conv2d(relu(y), filters, stride=stage.shape.stride, dilation=stage.shape.dilation)
        y = normalize_batch(conv2d(u, matrix), gamma, plan.eps[i], beta)[0]
    y = y if weight is None else weight * y
    needs = ctx.needs_input_grad
    inputs = [x, weight, *parameters]
    wanted = [each for each, need in zip(inputs, (needs[1], needs[2], *needs[4:]), strict=True) if need]
    found = iter(torch.autograd.grad(y, cast(list[Tensor], wanted), dy, create_graph=True))
    first = [next(found) if need else None for need in (needs[1], needs[2])]
    return *first, node, *(next(found) if need else None for need in needs[4:])


class _Frozen(torch.autograd.Function):
    """The chain with fixed statistics and weights, folded into the pointwise convolutions: a function of x alone."""

    @staticmethod
    def forward(ctx: Any, stages: Stages, x: Tensor) -> Tensor:
        maps = [x]
        for stage in stages:
            matrix, bias = _folded(stage)
            before = Before(rectify=True)
            maps.append(kernel.forward(maps[-1], stage.depthwise.weight, matrix, stage.shape, before, bias=bias)[0])
        ctx.stages = stages
        ctx.save_for_backward(*maps[:-1])
        return maps[-1]

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Tensor | None, ...]:
        maps, (dy,) = ctx.saved_tensors, cotangents
        if torch.is_grad_enabled():
            y = maps[0]
            for stage in ctx.stages:
                matrix, bias = _folded(stage)
                filters = stage.depthwise.weight.detach()
                u = depthwise_conv2d(relu(y), filters, stride=stage.shape.stride, dilation=stage.shape.dilation)
                y = conv2d(u, matrix, bias)
            return None, torch.autograd.grad(y, maps[0], dy, create_graph=True)[0]
        dy = dy.contiguous(memory_format=torch.channels_last)
        for stage, x in zip(reversed(ctx.stages), reversed(maps), strict=True):
            matrix, _ = _folded(stage)
            before, cotangent = Before(rectify=True), Cotangent(dy)
            dy = kernel.backward(x, stage.depthwise.weight, matrix, stage.shape, before, cotangent).x
        return None, dy


def _folded(stage: SeparableStage) -> tuple[Tensor, Tensor]:
    """Return the pointwise matrix (C', C, 1, 1) with batch norm's scale inside, and its shift (C',)."""
    scale, shift = fixed_scale_and_shift(stage.norm)
    return (stage.pointwise.weight * scale.view(-1, 1, 1, 1)).detach(), shift.detach()
