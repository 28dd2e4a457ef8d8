"""Batch norm with batch statistics: fast and accurate in channels_last on a CPU.

The library sums each channel of a channels_last map one after the other in float32: the statistics of 32,768 pixels
are off by up to 4e-6, forty times more than in the other layout. In a piecewise linear network an error e of the states
turns into one of the order of sqrt(e) in a gradient. Sums by halves cost nothing more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from advrush.kernels import native, native_norm


def library_is_inexact(x: Tensor) -> bool:
    """Tell whether x (N, C, H, W) lies where the library's own sums lose digits."""
    return x.device.type == "cpu" and x.is_contiguous(memory_format=torch.channels_last)


def normalize_batch(
    x: Tensor, scale: Tensor | None, eps: float, bias: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return scale * (x - mean) / sqrt(variance + eps) + bias, and the batch's mean and biased variance (C,), detached.

    `scale` (C,) must be contiguous. Differentiable in x, scale and bias any number of times.
    """
    if not library_is_inexact(x):
        y, mean, inverse_std = torch.ops.aten.native_batch_norm(x, scale, bias, None, None, True, 0.0, eps)
        return y, mean.detach(), inverse_std.detach().double().square().reciprocal() - eps
    if compiled(x, scale, bias):
        y, mean, variance = _Compiled.apply(x, scale, bias, eps)  # type: ignore[no-untyped-call]
        return y, mean, variance
    mean, variance = statistics(x)
    return _Normalize.apply(x, scale, bias, mean, variance, eps), mean, variance  # type: ignore[no-untyped-call]


def compiled(x: Tensor, *vectors: Tensor | None) -> bool:
    """Tell whether the compiled kernels take x (N, C, H, W) with these scales and shifts."""
    return x.numel() > 0 and native.applies(x) and all(each is None or each.dtype == x.dtype for each in vectors)


@torch.no_grad()
def statistics(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return each channel's mean and biased variance (C,) over x (N, C, H, W) in channels_last."""
    pixels = x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])
    mean = pixels.sum(0) / len(pixels)
    return mean, (pixels - mean).square_().sum(0) / len(pixels)


@torch.no_grad()
def track(norms: Sequence[nn.BatchNorm2d], mean: Tensor, variance: Tensor, count: int) -> None:
    """Move the running statistics of all `norms` as each by itself would, for a batch of `count` values a channel."""
    unbiased = variance * (count / max(count - 1, 1))
    for norm in norms:
        move_running_statistics(norm, mean, unbiased)


@torch.no_grad()
def move_running_statistics(norm: nn.BatchNorm2d, mean: Tensor, unbiased: Tensor) -> None:
    """Move a layer's running mean and variance (C,) towards a batch's, by its momentum or as a plain average.

    A layer without running statistics stays as it is.
    """
    if norm.running_mean is None or norm.running_var is None or norm.num_batches_tracked is None:
        return
    norm.num_batches_tracked.add_(1)
    momentum = float(norm.momentum) if norm.momentum is not None else 1.0 / float(norm.num_batches_tracked)
    norm.running_mean.lerp_(mean.to(norm.running_mean.dtype), momentum)
    norm.running_var.lerp_(unbiased.to(norm.running_var.dtype), momentum)


def fixed_scale_and_shift(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Return scale and shift (C,) of a batch norm with its running statistics: y = scale * x + shift.

    Multiplied in this order, which `torch.nn.utils.fusion` does not keep for the shift: the last bit differs there.
    """
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = (norm.running_var + norm.eps).rsqrt()
    scale = scale * norm.weight if norm.affine else scale
    shift = -norm.running_mean * scale
    return scale, shift + norm.bias if norm.affine else shift


class _Normalize(torch.autograd.Function):
    """The normalization as a function of x, its statistics included, of the scale and of the bias."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, scale: Tensor | None, bias: Tensor | None, mean: Tensor, variance: Tensor, eps: float
    ) -> Tensor:
        ctx.save_for_backward(x, scale, mean, (variance + eps).rsqrt())
        ctx.eps = eps
        y: Tensor = torch.ops.aten.native_batch_norm(x, scale, bias, mean, variance, False, 0.0, eps)[0]
        return y

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Tensor | None, ...]:
        (x, scale, mean, inverse_std), (dy,) = ctx.saved_tensors, cotangents
        wanted = list(ctx.needs_input_grad[:3])
        if torch.is_grad_enabled():
            found = _differentiable(x, scale, dy, ctx.eps)
        else:
            found = torch.ops.aten.native_batch_norm_backward(
                dy, x, scale, None, None, mean, inverse_std, True, ctx.eps, wanted
            )
        gradients = (gradient if want else None for gradient, want in zip(found, wanted, strict=True))
        return *gradients, None, None, None


class _Compiled(torch.autograd.Function):
    """The same by the compiled kernels; returns y, and mean and biased variance (C,) of the type of x."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor | None, bias: Tensor | None, eps: float) -> tuple[Tensor, ...]:
        found = native_norm.statistics(native_norm.channel_sums(x, x), x.numel() // x.shape[1], eps)
        factor = found.inverse_std if scale is None else found.inverse_std * scale
        shift = -found.mean * factor if bias is None else bias - found.mean * factor
        y = native_norm.combine(x, factor.to(x.dtype), shift.to(x.dtype), out=torch.empty_like(x))
        ctx.save_for_backward(x, scale)
        ctx.found, ctx.eps = found, eps
        tracked = found.mean.to(x.dtype), found.variance.to(x.dtype)
        ctx.mark_non_differentiable(*tracked)
        ctx.set_materialize_grads(False)
        return y, *tracked

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor | None) -> tuple[Tensor | None, ...]:
        (x, scale), dy, wanted = ctx.saved_tensors, cotangents[0], ctx.needs_input_grad[:3]
        if dy is None:
            return None, None, None, None
        if torch.is_grad_enabled():
            found = _differentiable(x, scale, dy, ctx.eps)
            return *(each if want else None for each, want in zip(found, wanted, strict=True)), None
        dy = native.laid_out(dy)
        factor = torch.ones_like(ctx.found.mean) if scale is None else scale.double()
        norm = native_norm.norm_gradients(native_norm.channel_sums(dy, x), factor, ctx.found, x.dtype)
        dx = native_norm.combine(dy, norm.a, norm.e, x, norm.b, out=torch.empty_like(x)) if wanted[0] else None
        return dx, norm.scale.to(x.dtype) if wanted[1] else None, norm.shift.to(x.dtype) if wanted[2] else None, None


def _differentiable(x: Tensor, scale: Tensor | None, dy: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of x, scale and bias in operations that autograd can go through once more."""
    over = (0, 2, 3)
    variance, mean = torch.var_mean(x, dim=over, correction=0, keepdim=True)
    inverse_std = (variance + eps).rsqrt()
    normalized = (x - mean) * inverse_std
    along, total = (dy * normalized).sum(dim=over, keepdim=True), dy.sum(dim=over, keepdim=True)
    count = x.numel() // x.shape[1]
    dx = inverse_std * (dy - total / count - normalized * along / count)
    return (dx if scale is None else dx * scale.view(1, -1, 1, 1)), along.flatten(), total.flatten()
