"""A chain of separable convolutions, each ReLU, depthwise, pointwise, batch norm, as one function of compiled kernels.

A stage may lack the depthwise convolution.

Between the stages nothing but the pointwise convolutions' outputs z is stored: batch norm's scale and shift and the
next ReLU are applied where z is read, and the sums of batch norm are taken where z and its gradient are written.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, relu

from advrush.kernels import native
from advrush.kernels import separable_chain as kernel
from advrush.kernels.batch_statistics import fixed_scale_and_shift, normalize_batch
from advrush.kernels.depthwise_conv import depthwise_conv2d
from advrush.kernels.separable_chain import Link, Norm, Wanted
from advrush.kernels.separable_conv import POINTWISE, StageShape, no_filters
from advrush.models.fused.conv_chain import Chain
from advrush.models.fused.layers import is_depthwise, is_pointwise


class SeparableStage(NamedTuple):
    """ReLU, depthwise convolution, pointwise convolution, batch norm."""

    depthwise: nn.Conv2d | None
    """None: the stage has none."""
    pointwise: nn.Conv2d
    norm: nn.BatchNorm2d

    @property
    def shape(self) -> StageShape:
        """Return the shape parameters of the depthwise convolution."""
        layer = self.depthwise
        return POINTWISE if layer is None else StageShape(layer.kernel_size[0], layer.stride[0], layer.dilation[0])

    @property
    def weights(self) -> tuple[Tensor | None, Tensor]:
        """Return the weights of the depthwise convolution, if there is one, and of the pointwise convolution."""
        return None if self.depthwise is None else self.depthwise.weight, self.pointwise.weight

    def tensors(self) -> list[Tensor]:
        """Return the weights, and what batch norm has of scale, shift and running statistics."""
        return [*(each for each in self.weights if each is not None), *_floating(self.norm)]


Stages = tuple[SeparableStage, ...]


def separable_stages(chain: Chain) -> Stages | None:
    """Return the stages of a chain that is a ReLU and separable convolutions alone, None for any other."""
    if type(chain.feature) is not nn.ReLU or not chain.stages:
        return None
    stages: list[SeparableStage] = []
    for stage in chain.stages:
        if len(stage.layers) not in (1, 2) or type(stage.norm) is not nn.BatchNorm2d:
            return None
        *first, pointwise = stage.layers
        if not is_pointwise(pointwise) or any(type(each) is not nn.Conv2d or not is_depthwise(each) for each in first):
            return None
        depthwise = cast(nn.Conv2d, first[0]) if first else None
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
    convolutions = [each for stage in stages for each in stage.weights]
    if (
        any(w is not None and (w.dtype != x.dtype or type(w) is not nn.Parameter) for w in convolutions)
        or x.numel() == 0
    ):
        return None
    norms = [stage.norm for stage in stages]
    if weight is not None and weight.dtype != x.dtype:
        return None
    if any(each.dtype != x.dtype for norm in norms for each in _floating(norm)):
        return None
    if all(norm.training and norm.track_running_stats and norm.momentum is not None for norm in norms):
        affine = [each for norm in norms for each in (norm.weight, norm.bias)]
        return _Chain.apply(stages, x, weight, node, *convolutions, *affine)  # type: ignore[no-any-return, no-untyped-call]
    if weight is not None or node is not None or not are_frozen(stages):
        return None
    return _Frozen.apply(stages, x)  # type: ignore[no-any-return, no-untyped-call]


def are_frozen(stages: Stages) -> bool:
    """Return whether statistics are fixed and no weight is trained: folded, it would have no gradient."""
    norms = [stage.norm for stage in stages]
    if any(norm.training or norm.running_var is None for norm in norms):
        return False
    return not any(w.requires_grad for stage in stages for w in stage.tensors())


def _floating(norm: nn.BatchNorm2d) -> list[Tensor]:
    """Return what a batch norm has of scale, shift and running statistics."""
    return [each for each in (norm.weight, norm.bias, norm.running_mean, norm.running_var) if each is not None]


class _Chain(torch.autograd.Function):
    """The chain with batch statistics; moves the running ones."""

    @staticmethod
    def forward(
        ctx: Any, stages: Stages, x: Tensor, weight: Tensor | None, node: Tensor | None, *parameters: Tensor | None
    ) -> Tensor:
        links = _links(stages, parameters, moved=True)
        maps, found = kernel.output_maps(x, links), kernel.empty_statistics(x, links)
        links = [link._replace(z=z, found=own) for link, z, own in zip(links, maps, found, strict=True)]
        y = torch.empty_like(maps[-1]) if node is None else node
        kernel.forward(x, links, weight, node, y)
        if node is not None:
            ctx.mark_dirty(node)
        ctx.stages, ctx.adds = stages, node is not None
        ctx.save_for_backward(x, weight, *parameters, *maps, *found)
        ctx.set_materialize_grads(False)
        return y

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor | None) -> tuple[Tensor | None, ...]:
        (dy,), needs = cotangents, ctx.needs_input_grad
        if dy is None:
            return (None,) * len(needs)
        x, weight, *rest = ctx.saved_tensors
        count = len(ctx.stages)
        parameters, maps, found = rest[: 4 * count], rest[4 * count : 5 * count], rest[5 * count :]
        node = dy if ctx.adds else None
        if torch.is_grad_enabled():
            return None, *_differentiable(ctx, weight, parameters, x, dy, node)
        links = _links(ctx.stages, parameters, moved=False)
        links = [link._replace(z=z, found=own) for link, z, own in zip(links, maps, found, strict=True)]
        dx = torch.empty_like(x) if needs[1] else None
        d_weight = None if weight is None or not needs[2] else torch.empty_like(weight)
        gradients = [
            torch.empty_like(each, memory_format=torch.contiguous_format) if need and each is not None else None
            for each, need in zip(parameters, needs[4:], strict=True)
        ]
        wanted = [Wanted(*_parameters(gradients, i, count)) for i in range(count)]
        kernel.backward(x, links, weight, dy, dx=dx, d_weight=d_weight, wanted=wanted)
        return None, dx, d_weight, node, *gradients


def _links(stages: Stages, parameters: Sequence[Tensor | None], *, moved: bool) -> list[Link]:
    """Return the stages of a trained chain as the kernels take them; `moved`: with their running statistics."""
    links = []
    for i, stage in enumerate(stages):
        depthwise, pointwise, scale, shift = _parameters(parameters, i, len(stages))
        assert pointwise is not None
        norm = stage.norm
        running = (norm.running_mean, norm.running_var, norm.num_batches_tracked) if moved else (None, None, None)
        own = Norm(scale, shift, *running, norm.eps, norm.momentum or 0.0)
        links.append(_link(stage, depthwise, pointwise, own))
    return links


def _link(stage: SeparableStage, depthwise: Tensor | None, pointwise: Tensor, norm: Norm) -> Link:
    matrix = kernel.as_dense(pointwise)
    filters = no_filters(matrix.shape[1], matrix.dtype) if depthwise is None else kernel.as_dense(depthwise)
    return Link(stage.shape, filters, matrix, norm)


def _parameters(
    parameters: Sequence[Tensor | None], stage: int, count: int
) -> tuple[Tensor | None, Tensor | None, Tensor | None, Tensor | None]:
    """Return filters, matrix, scale and shift of a stage from the list of a chain: convolutions first, then norms."""
    first, second = 2 * stage, 2 * (count + stage)
    return (*parameters[first : first + 2], *parameters[second : second + 2])  # type: ignore[return-value]


def _differentiable(
    ctx: Any, weight: Tensor | None, parameters: list[Tensor | None], x: Tensor, dy: Tensor, node: Tensor | None
) -> tuple[Tensor | None, ...]:
    """Return the gradients of x, weight, node and parameters in operations that autograd can go through once more."""
    count = len(ctx.stages)
    y = x
    for i, stage in enumerate(ctx.stages):
        filters, matrix, gamma, beta = _parameters(parameters, i, count)
        assert matrix is not None
        u = filtered(stage, relu(y), filters)
        y = normalize_batch(conv2d(u, matrix), gamma, stage.norm.eps, beta)[0]
    y = y if weight is None else weight * y
    needs = ctx.needs_input_grad
    inputs = [x, weight, *parameters]
    wanted = [each for each, need in zip(inputs, (needs[1], needs[2], *needs[4:]), strict=True) if need]
    found = iter(torch.autograd.grad(y, cast(list[Tensor], wanted), dy, create_graph=True))
    first = [next(found) if need else None for need in (needs[1], needs[2])]
    return *first, node, *(next(found) if need else None for need in needs[4:])


def filtered(stage: SeparableStage, x: Tensor, filters: Tensor | None) -> Tensor:
    """Return the depthwise convolution of x, x itself where there is none."""
    shape = stage.shape
    return x if filters is None else depthwise_conv2d(x, filters, stride=shape.stride, dilation=shape.dilation)


class _Frozen(torch.autograd.Function):
    """The chain with fixed statistics and weights, folded into the pointwise convolutions: a function of x alone."""

    @staticmethod
    def forward(ctx: Any, stages: Stages, x: Tensor) -> Tensor:
        links = frozen_links(stages)
        maps = kernel.output_maps(x, links)
        links = [link._replace(z=z) for link, z in zip(links, maps, strict=True)]
        kernel.frozen_forward(x, links)
        ctx.stages, ctx.links = stages, [link._replace(z=None) for link in links]
        ctx.save_for_backward(x, *maps[:-1])
        return maps[-1]

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Tensor | None, ...]:
        (x, *maps), (dy,) = ctx.saved_tensors, cotangents
        if torch.is_grad_enabled():
            y = x
            for stage in ctx.stages:
                matrix, bias = folded(stage)
                filters = stage.weights[0]
                y = conv2d(filtered(stage, relu(y), None if filters is None else filters.detach()), matrix, bias)
            return None, torch.autograd.grad(y, x, dy, create_graph=True)[0]
        links = [link._replace(z=z) for link, z in zip(ctx.links, [*maps, None], strict=True)]
        dx = torch.empty_like(x)
        kernel.frozen_backward(x, links, dy, dx)
        return None, dx


def frozen_links(stages: Stages) -> list[Link]:
    """Return the stages of a frozen chain as the kernels take them."""
    return [
        _link(
            stage,
            *stage.weights,
            Norm(norm.weight, norm.bias, norm.running_mean, norm.running_var, None, norm.eps, 0.0),
        )
        for stage in stages
        for norm in [stage.norm]
    ]


def folded(stage: SeparableStage) -> tuple[Tensor, Tensor]:
    """Return the pointwise matrix (C', C, 1, 1) with batch norm's scale inside, and its shift (C',)."""
    scale, shift = fixed_scale_and_shift(stage.norm)
    return (stage.pointwise.weight * scale.view(-1, 1, 1, 1)).detach(), shift.detach()
