"""A chain of separable convolutions as one call of compiled kernels: trained, frozen or linearized."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from advrush.kernels import native
from advrush.kernels.separable_conv import StageShape, empty_map

LINK_FORMAT = "4q8Q2d5Q"
"""A stage as `Link` of native/chain.h has it, in the notation of `struct`."""


class Norm(NamedTuple):
    """A batch norm's tensors (C',), all of the maps' type."""

    scale: Tensor | None
    """None: 1."""
    shift: Tensor | None
    """None: 0."""
    mean: Tensor | None
    """Running; moved by `forward`, used by `frozen_forward`."""
    variance: Tensor | None
    batches: Tensor | None
    """How many batches the running statistics have seen, int64."""
    eps: float
    momentum: float


class Link(NamedTuple):
    """One stage: ReLU, depthwise convolution, pointwise convolution, and what follows it."""

    shape: StageShape
    depthwise: Tensor
    """(C, 1, k, k), contiguous."""
    pointwise: Tensor
    """(C', C, 1, 1), contiguous; (C', 0, 1, 1) in a link of a cell that is a batch norm alone."""
    norm: Norm
    z: Tensor | None = None
    """The pointwise convolution's output (N, C', H, W), channels last: written forward, read backward."""
    found: Tensor | None = None
    """Mean, biased variance and 1 / std of the batch (3, C'), float64: written forward, read backward."""


class Wanted(NamedTuple):
    """Where a stage's gradients are to be written; None where they are not wanted."""

    depthwise: Tensor | None = None
    pointwise: Tensor | None = None
    scale: Tensor | None = None
    shift: Tensor | None = None


def output_maps(x: Tensor, links: Sequence[Link]) -> list[Tensor]:
    """Return uninitialized maps for the outputs of the stages applied to x (N, C, H, W)."""
    maps, (height, width) = [], x.shape[2:]
    for link in links:
        height, width = -(-height // link.shape.stride), -(-width // link.shape.stride)
        maps.append(empty_map(x, link.pointwise.shape[0], height, width))
    return maps


def forward(x: Tensor, links: Sequence[Link], weight: Tensor | None, node: Tensor | None, y: Tensor) -> None:
    """Write `node + weight * chain(x)` to y, which may be `node`, with batch statistics; write each link's z and found.

    The running statistics that the links have are moved. Maps (N, C, H, W) are channels last; weight is a scalar, 1 if
    it is not given.
    """
    native.call("chain_forward", x.dtype, *_chain(x, links), x, weight, node, _written(y))


def backward(
    x: Tensor,
    links: Sequence[Link],
    weight: Tensor | None,
    dy: Tensor,
    *,
    dx: Tensor | None,
    d_weight: Tensor | None,
    wanted: Sequence[Wanted],
) -> None:
    """Write the gradients of <dy, chain(x)> to what is wanted: dx, d_weight (), and each stage's."""
    dy = native.laid_out(dy)
    native.call("chain_backward", x.dtype, *_chain(x, links, wanted), x, weight, dy, _written(dx), d_weight)


def frozen_forward(x: Tensor, links: Sequence[Link]) -> None:
    """Write each stage's z with batch norm's running statistics inside; the last is the chain's value."""
    native.call("frozen_forward", x.dtype, *_chain(x, links), x)


def frozen_backward(x: Tensor, links: Sequence[Link], dy: Tensor, dx: Tensor) -> None:
    """Write the gradient of <dy, chain(x)> for x to dx."""
    dy = native.laid_out(dy)
    native.call("frozen_backward", x.dtype, *_chain(x, links), x, dy, _written(dx))


def linear_value(x: Tensor, links: Sequence[Link], weight: Tensor, y: Tensor, *, add: bool) -> None:
    """Write `weight * value` to y, or add it, for the stages A x + b with ReLUs between them.

    The links' norms have the biases as their shift and nothing else; their z, of all but the last, get the ReLUs'
    values. x is not rectified.
    """
    native.call("linear_value", x.dtype, *_chain(x, links), x, weight, int(add), _written(y))


def linear_jvp(
    t: Tensor,
    links: Sequence[Link],
    weight: Tensor,
    y: Tensor,
    *,
    add: bool,
    mask: Tensor | None,
    cotangent: Tensor,
    along: Tensor,
) -> None:
    """Write `weight * J t` to y, or add it, and <cotangent, J t> to `along` ().

    J is the chain's Jacobian where `linear_value` was called; t is taken as zero where `mask` is not positive.
    """
    t, cotangent = native.laid_out(t), native.laid_out(cotangent)
    chain = _chain(t, links)
    native.call("linear_jvp", t.dtype, *chain, t, mask, weight, int(add), _written(y), cotangent, along)


def linear_vjp(
    c: Tensor,
    links: Sequence[Link],
    weight: Tensor,
    dx: Tensor,
    *,
    add: bool,
    x: Tensor,
    mask: Tensor | None,
    total: Tensor | None,
    along: Tensor | None,
) -> None:
    """Write `weight * J^T c` to dx, or add it, zero where `mask` is not positive, and <c, value> to `along` ().

    x is what `linear_value` was given and `total` (C',) the sum of c over all pixels; without `along` neither is read.
    """
    c, chain = native.laid_out(c), _chain(x, links)
    native.call("linear_vjp", c.dtype, *chain, c, x, mask, weight, int(add), _written(dx), total, along)


def _chain(x: Tensor, links: Sequence[Link], wanted: Sequence[Wanted] = ()) -> tuple[int | bytes, ...]:
    """Return sizes and stages as the kernels take them; the tensors must outlive the call."""
    n, c, height, width = x.shape
    stages = [packed(link, wanted[i] if wanted else Wanted()) for i, link in enumerate(links)]
    return n, height, width, c, len(links), b"".join(stages)


def packed(link: Link, wanted: Wanted) -> bytes:
    """Return a stage as the kernels take it; the tensors must outlive its use."""
    return struct.pack("=" + LINK_FORMAT, *link_fields(link, wanted))


def link_fields(link: Link, wanted: Wanted) -> tuple[float, ...]:
    """Return the fields of a stage's record; the tensors must outlive its use."""
    norm, found = link.norm, link.found
    tensors = (link.depthwise, link.pointwise, link.z, *norm[:5])
    addresses = [0 if each is None else each.data_ptr() for each in tensors]  # 0 too where there are no numbers
    last = [0 if each is None else each.data_ptr() for each in (found, *wanted)]
    return (link.pointwise.shape[0], *link.shape, *addresses, norm.eps, norm.momentum, *last)


def _written(y: Tensor | None) -> Tensor | None:
    """Return a map that a kernel writes to, which therefore cannot be copied into the order of the kernels."""
    assert y is None or y.is_contiguous(memory_format=torch.channels_last)
    return y


def as_dense(weight: Tensor) -> Tensor:
    """Return a convolution's weights in the order of the kernels: themselves, or a copy."""
    weight = weight.detach()
    return weight if weight.is_contiguous() else weight.contiguous()


def empty_statistics(x: Tensor, links: Sequence[Link]) -> list[Tensor]:
    """Return room for each link's `found`."""
    return [x.new_empty(3, link.pointwise.shape[0], dtype=torch.float64) for link in links]
