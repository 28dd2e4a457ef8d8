"""Weights of 3x3 convolutions for Winograd's F(2x2, 3x3) and F(4x4, 3x3), which `conv_graph` runs.

Y = A^T [(G g G^T) * (B^T d B)] A takes 16 products for 2x2 outputs where the sum takes 36, or 36 for 4x4 where it takes
144 (Lavin and Gray, CVPR 2016). The result is the convolution's up to rounding: with 4x4 outputs and the points 0,
+-sqrt(1/2), +-sqrt(2) about twice the library's, with 0, +-1, +-2 it would be eight times.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import pad

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


def padded(tensor: Tensor) -> Tensor:
    """Return a tensor with zeros behind its last dimension, up to a multiple of 16, as the kernels read it."""
    return pad(tensor, (0, -tensor.shape[-1] % 16)).contiguous()
