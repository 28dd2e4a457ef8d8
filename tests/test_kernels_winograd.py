"""Winograd's convolution against torch's, forward and backward, in float64; its fallbacks."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import conv2d

from advrush.kernels import native
from advrush.kernels.winograd import WinogradConv, gains

needs_kernels = pytest.mark.skipif(native.library() is None, reason="no compiled kernels")
SIZES = [(3, 5, 7, 9, 6), (2, 24, 32, 16, 16), (1, 17, 40, 1, 1), (2, 16, 16, 2, 7), (30, 16, 20, 3, 3), (9, 16, 33, 11, 8)]
"""N, C, C', H, W: channels that leave vectors part empty, odd sides, one pixel, more tiles than go together."""


def problem(n: int, c: int, cout: int, h: int, w: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    shapes = ((n, c, h, w), (cout, c, 3, 3), (cout,), (n, cout, h, w), (n, cout, h, w))
    x, weight, bias, residual, dy = (torch.randn(shape, generator=generator, dtype=dtype) for shape in shapes)
    x, residual, dy = (each.contiguous(memory_format=torch.channels_last) for each in (x, residual, dy))
    return x.requires_grad_(True), weight, bias, residual.requires_grad_(True), dy


def plain(x: Tensor, weight: Tensor, bias: Tensor | None, residual: Tensor | None, relu: bool) -> Tensor:
    y = conv2d(x, weight, bias, padding=1)
    y = y if residual is None else y + residual
    return torch.relu(y) if relu else y


@needs_kernels
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("adds", [False, True])
@pytest.mark.parametrize("sizes", SIZES)
def test_value_and_gradients_are_the_convolutions(sizes: tuple[int, ...], adds: bool, relu: bool) -> None:
    x, weight, bias, residual, dy = problem(*sizes)
    given = (x, residual) if adds else (x,)
    layer = WinogradConv(weight, bias, relu=relu)
    assert layer.applies(x, residual if adds else None)
    y, expected = layer(*given), plain(x, weight, bias, residual if adds else None, relu)
    torch.testing.assert_close(y, expected, rtol=1e-12, atol=1e-12)
    mine, theirs = (torch.autograd.grad(each, given, dy) for each in (y, expected))
    for own, other in zip(mine, theirs, strict=True):
        torch.testing.assert_close(own, other, rtol=1e-12, atol=1e-12)


@needs_kernels
def test_float32_errs_no_more_than_the_library() -> None:
    x, weight, bias = (each.detach() for each in problem(2, 64, 64, 16, 16)[:3])
    exact = conv2d(x, weight, bias, padding=1)
    single = [each.float() for each in (x, weight, bias)]
    own = WinogradConv(single[1], single[2], relu=False)(single[0].contiguous(memory_format=torch.channels_last))
    library = conv2d(*single, padding=1)
    assert float((own - exact).abs().max()) < 3 * float((library - exact).abs().max())


@needs_kernels
def test_images_and_threads_do_not_change_a_bit() -> None:
    x, weight, bias, _, _ = problem(5, 16, 32, 7, 7, torch.float32)
    layer = WinogradConv(weight, bias, relu=True)
    with torch.no_grad():
        together, alone = layer(x), torch.cat([layer(each) for each in x.split(1)])
        assert torch.equal(together, alone)
        threads = torch.get_num_threads()
        torch.set_num_threads(3)
        try:
            assert torch.equal(layer(x), together)
        finally:
            torch.set_num_threads(threads)


@needs_kernels
def test_what_the_kernel_does_not_take() -> None:
    x, weight, bias, residual, _ = problem(2, 16, 24, 6, 6, torch.float32)
    layer = WinogradConv(weight, bias, relu=False)
    assert layer.applies(x, residual)
    assert not layer.applies(x.contiguous())
    assert not layer.applies(x.double())
    assert not layer.applies(x[:, :8])
    assert not layer.applies(x[:0])
    assert not layer.applies(x, residual[:1])
    assert not layer.applies(x, residual[:, :, :1, :1])
    with torch.autocast("cpu", torch.bfloat16):
        assert not layer.applies(x)


def test_sizes_that_gain() -> None:
    assert gains(16, 16) and gains(320, 320)
    assert not gains(64, 3) and not gains(512, 512)
