"""1x1 convolutions and the gradient for images against torch's, in float64; what the kernels do not take."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import conv2d

from advrush.kernels import native
from advrush.kernels.small_conv import ImageConv, PointwiseConv

pytestmark = pytest.mark.skipif(native.library() is None, reason="no compiled kernels")


def drawn(*shapes: tuple[int, ...]) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]


def check(layer: PointwiseConv | ImageConv, x: Tensor, expected: Tensor) -> None:
    (dy,) = drawn(tuple(expected.shape))
    assert layer.applies(x)
    y = layer(x)
    torch.testing.assert_close(y, expected, rtol=1e-12, atol=1e-12)
    (mine,), (theirs,) = (torch.autograd.grad(each, x, dy) for each in (y, expected))
    torch.testing.assert_close(mine, theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("sizes", [(2, 24, 32, 16, 16), (3, 5, 40, 7, 6), (1, 17, 3, 1, 1)])
def test_pointwise(sizes: tuple[int, ...], stride: int) -> None:
    n, c, cout, h, w = sizes
    x, weight, bias = drawn((n, c, h, w), (cout, c, 1, 1), (cout,))
    x = x.contiguous(memory_format=torch.channels_last).requires_grad_(True)
    check(PointwiseConv(weight, bias, stride), x, conv2d(x, weight, bias, stride))
    check(PointwiseConv(weight, None, stride), x, conv2d(x, weight, None, stride))


@pytest.mark.parametrize(("k", "stride", "padding"), [(3, 1, 1), (3, 2, 1), (7, 2, 3), (4, 4, 0), (2, 3, 0), (5, 1, 0)])
@pytest.mark.parametrize("sizes", [(2, 3, 24, 12, 12), (3, 1, 7, 9, 11), (1, 4, 18, 7, 7)])
def test_gradient_for_images(sizes: tuple[int, ...], k: int, stride: int, padding: int) -> None:
    n, c, cout, h, w = sizes
    x, weight, bias = drawn((n, c, h, w), (cout, c, k, k), (cout,))
    x = x.contiguous(memory_format=torch.channels_last).requires_grad_(True)
    check(ImageConv(weight, bias, stride, padding), x, conv2d(x, weight, bias, stride, padding))


def test_what_the_kernels_do_not_take() -> None:
    x, weight = drawn((2, 3, 6, 6), (8, 3, 1, 1))
    x = x.contiguous(memory_format=torch.channels_last)
    layer = PointwiseConv(weight, None, 1)
    assert layer.applies(x)
    assert not layer.applies(x.contiguous())
    assert not layer.applies(x.float())
    assert not layer.applies(x[:, :2])
    assert not layer.applies(x[:0])
    with torch.autocast("cpu", torch.bfloat16):
        assert not layer.applies(x)
