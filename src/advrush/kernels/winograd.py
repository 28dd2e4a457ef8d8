"""3x3 convolutions with fixed weights by Winograd's F(2x2, 3x3) or F(4x4, 3x3), one call with bias, residual and ReLU.

Y = A^T [(G g G^T) * (B^T d B)] A takes 16 products for 2x2 outputs where the sum takes 36, or 36 for 4x4 where it takes
144 (Lavin and Gray, CVPR 2016). The result is the convolution's up to rounding: with 4x4 outputs and the points 0,
+-sqrt(1/2), +-sqrt(2) about twice the library's, with 0, +-1, +-2 it would be eight times.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from advrush.kernels import native
from advrush.kernels.separable_conv import empty_map
from advrush.kernels.small_conv import padded

Outputs = Literal[2, 4]
_G: dict[Outputs, tuple[tuple[float, ...], ...]] = {
    2: ((1, 0, 0), (1 / 2, 1 / 2, 1 / 2), (1 / 2, -1 / 2, 1 / 2), (0, 0, 1)),
    4: (
        (1, 0, 0),
        (-2 / 3, -(2**0.5) / 3, -1 / 3),
        (-2 / 3, 2**0.5 / 3, -1 / 3),
        (1 / 6, 2**0.5 / 6, 1 / 3),
        (1 / 6, -(2**0.5) / 6, 1 / 3),
        (0, 0, 1),
    ),
}
"""G for tiles of 2x2 and of 4x4 outputs; A and B lie in `native/winograd.h`."""
_LARGEST = 1 << 17
"""Weights (C' C) of the largest convolution that gains: the transformed ones of larger ones leave the caches."""
_SMALLEST = 16
"""Channels of the smallest, of which fewer leave vectors empty."""


def gains(cout: int, c: int) -> bool:
    """Return whether a convolution from c to cout channels is quicker this way than by the library."""
    return min(cout, c) >= _SMALLEST and cout * c <= _LARGEST


def outputs_of(height: int, width: int) -> Outputs:
    """Return the side of a tile's outputs with which an image takes fewest products; the smaller where both do."""

    def products(side: Outputs) -> int:
        return (side + 2) ** 2 * -(-height // side) * -(-width // side)

    return 4 if products(4) < products(2) else 2


def transformed(weight: Tensor, outputs: Outputs) -> Tensor:
    """Return G g G^T (places, C, columns) of the weights g (C', C, 3, 3), zeros behind C' up to a multiple of 16."""
    cout, c = weight.shape[:2]
    g = torch.tensor(_G[outputs], dtype=torch.float64)
    places = torch.einsum("ai,kcij,bj->abck", g, weight.detach().double(), g).reshape(-1, c, cout)
    return padded(places.to(weight.dtype))


class WinogradConv:
    """`y = x * weight + bias + residual`, rectified on request: stride 1, a border of zeros, fixed weights."""

    def __init__(self, weight: Tensor, bias: Tensor | None, *, relu: bool) -> None:
        """Take the weights (C', C, 3, 3) and bias (C',) as they are now; `relu`: whether y is rectified."""
        self.cout, self.c = weight.shape[:2]
        self.relu = relu
        self._weight = weight.detach().clone()
        self._transformed: dict[tuple[bool, Outputs], Tensor] = {}
        self._bias = None if bias is None else padded(bias.detach())

    def applies(self, x: Tensor, residual: Tensor | None = None) -> bool:
        """Return whether the kernel takes x (N, C, H, W) and the residual: on a CPU, channels last, no autocast."""
        maps = (x,) if residual is None else (x, residual)
        if x.dim() != 4 or x.shape[1] != self.c or x.dtype != self._weight.dtype or not x.numel():
            return False
        if residual is not None and residual.shape != (len(x), self.cout, *x.shape[2:]):
            return False
        return native.applies(*maps) and not torch.is_autocast_enabled("cpu")

    def __call__(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """Return y (N, C', H, W), channels last; differentiable once, for x and the residual."""
        y: Tensor = _Convolution.apply(x, residual, self)  # type: ignore[no-untyped-call]
        return y

    def value(self, x: Tensor, residual: Tensor | None) -> Tensor:
        """Return y without a graph."""
        y = empty_map(x, self.cout, *x.shape[2:])
        self._run(x, y, bias=self._bias, residual=residual, relu=self.relu)
        return y

    def input_gradient(self, dy: Tensor, mask: Tensor | None) -> Tensor:
        """Return the gradient of <dy, y> for x, where dy counts as zero where `mask` is not positive."""
        dx = empty_map(dy, self.c, *dy.shape[2:])
        self._run(dy, dx, backward=True, mask=mask)
        return dx

    def _run(
        self,
        x: Tensor,
        y: Tensor,
        *,
        backward: bool = False,
        mask: Tensor | None = None,
        bias: Tensor | None = None,
        residual: Tensor | None = None,
        relu: bool = False,
    ) -> None:
        n, c, height, width = x.shape
        outputs = outputs_of(height, width)
        weight = self._prepared(backward, outputs)
        sizes = (n, height, width, c, y.shape[1], weight.shape[2], outputs)
        native.call("winograd", x.dtype, *sizes, x, mask, weight, bias, residual, int(relu), y)

    def _prepared(self, backward: bool, outputs: Outputs) -> Tensor:
        key = (backward, outputs)
        if key not in self._transformed:
            weight = self._weight.flip(2, 3).transpose(0, 1) if backward else self._weight
            self._transformed[key] = transformed(weight, outputs)
        return self._transformed[key]


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, residual: Tensor | None, layer: WinogradConv) -> Tensor:
        ctx.layer = layer
        y = layer.value(x, residual)
        ctx.save_for_backward(*([y] if layer.relu else []))
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        dy = native.laid_out(dy)
        (mask,) = ctx.saved_tensors or (None,)
        wants_x, wants_residual = ctx.needs_input_grad[:2]
        if wants_residual and mask is not None:  # the residual's gradient is the masked map itself
            dy, mask = torch.ops.aten.threshold_backward(dy, mask, 0), None
        dx = ctx.layer.input_gradient(dy, mask) if wants_x else None
        return dx, dy if wants_residual else None, None
