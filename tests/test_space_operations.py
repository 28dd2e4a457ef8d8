from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.functional import conv2d

from advrush.errors import GenotypeError
from advrush.space import PRIMITIVES
from advrush.space.operations import OPERATIONS, FactorizedReduce, PointwiseConv, ReLUConvBN, operation
from processes import ended, started

NAMES = {
    "none": set(),
    "max_pool_3x3": set(),
    "avg_pool_3x3": set(),
    "skip_connect": {"conv_1.weight", "conv_2.weight", "bn.weight", "bn.bias"},
    "sep_conv_3x3": {f"op.{i}.weight" for i in (1, 2, 3, 5, 6, 7)} | {"op.3.bias", "op.7.bias"},
    "sep_conv_5x5": {f"op.{i}.weight" for i in (1, 2, 3, 5, 6, 7)} | {"op.3.bias", "op.7.bias"},
    "sep_conv_7x7": {f"op.{i}.weight" for i in (1, 2, 3, 5, 6, 7)} | {"op.3.bias", "op.7.bias"},
    "dil_conv_3x3": {f"op.{i}.weight" for i in (1, 2, 3)} | {"op.3.bias"},
    "dil_conv_5x5": {f"op.{i}.weight" for i in (1, 2, 3)} | {"op.3.bias"},
    "conv_7x1_1x7": {f"{i}.weight" for i in (1, 2, 3)} | {"3.bias"},
    "nor_conv_1x1": {"op.1.weight", "op.2.weight", "op.2.bias"},
    "nor_conv_3x3": {"op.1.weight", "op.2.weight", "op.2.bias"},
}


def test_every_primitive_has_an_operation() -> None:
    assert set(PRIMITIVES) < set(OPERATIONS)
    assert set(OPERATIONS) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_parameters_are_named_as_in_the_published_code(name: str) -> None:
    assert {key for key, _ in operation(name, 4, 2).named_parameters()} == NAMES[name]
    free = operation(name, 4, 2, affine=False)
    assert all(isinstance(parameter, nn.Parameter) and parameter.ndim == 4 for parameter in free.parameters())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("side", [1, 5, 8])
def test_sizes(name: str, stride: int, side: int) -> None:
    x = torch.randn(2, 4, side, side)
    assert operation(name, 4, stride)(x).shape == (2, 4, -(-side // stride), -(-side // stride))


REACH = {"skip_connect": 0, "avg_pool_3x3": 1, "dil_conv_3x3": 2, "dil_conv_5x5": 4,
         "sep_conv_3x3": 2, "sep_conv_5x5": 4, "sep_conv_7x7": 6, "conv_7x1_1x7": 3}  # fmt: skip


@pytest.mark.parametrize(("name", "reach"), REACH.items())
def test_receptive_fields(name: str, reach: int) -> None:
    """The center reads (k - 1) / 2 pixels to each side; twice that if separable (two in a row) or dilated."""
    torch.manual_seed(0)
    x = (torch.rand(1, 8, 17, 17, dtype=torch.float64) + 0.1).requires_grad_()
    y = operation(name, 8, 1).double().eval()(x)
    touched = torch.autograd.grad(y[:, :, 8, 8].sum(), x)[0].abs().amax(dim=(0, 1)).nonzero()
    assert touched.min() == 8 - reach
    assert touched.max() == 8 + reach


def test_average_pool_does_not_count_the_padding() -> None:
    ones = torch.ones(1, 4, 5, 5)
    assert torch.equal(operation("avg_pool_3x3", 4, 1)(ones), ones)


def test_none_is_zero_even_where_the_input_is_not_finite() -> None:
    assert operation("none", 1, 1)(torch.full((1, 1, 2, 2), torch.inf)).eq(0).all()


def test_factorized_reduce_reads_even_and_odd_pixels() -> None:
    reduce = FactorizedReduce(3, 6, affine=False).eval()
    reduce.bn.running_var -= reduce.bn.eps
    x = torch.randn(2, 3, 6, 6)
    expected = [
        conv2d(x.relu()[:, :, i::2, i::2], conv.weight) for i, conv in enumerate([reduce.conv_1, reduce.conv_2])
    ]
    torch.testing.assert_close(reduce(x), torch.cat(expected, dim=1))
    odd = reduce(x[:, :, :5, :5])
    assert odd.shape == (2, 6, 3, 3)
    torch.testing.assert_close(odd[:, :3], expected[0])
    torch.testing.assert_close(odd[:, 3:, :2, :2], expected[1][:, :, :2, :2])
    assert odd[:, 3:, 2].eq(0).all()


def test_relu_conv_bn() -> None:
    block = ReLUConvBN(3, 5, 3, stride=2, affine=False)
    assert [name for name, _ in block.named_parameters()] == ["op.1.weight"]
    assert block(torch.randn(2, 3, 8, 8)).shape == (2, 5, 4, 4)


def test_pool_norm_follows_pools_alone() -> None:
    assert isinstance(operation("skip_connect", 4, 1, pool_norm=True), nn.Identity)
    pooled = operation("avg_pool_3x3", 4, 1, pool_norm=True)
    assert not list(pooled.parameters())
    y = pooled(torch.randn(8, 4, 6, 6) * 5 + 3)
    torch.testing.assert_close(y.mean(dim=(0, 2, 3)), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(y.std(dim=(0, 2, 3)), torch.ones(4), atol=1e-2, rtol=0)


def test_an_unknown_primitive_gets_a_suggestion() -> None:
    with pytest.raises(GenotypeError, match=r"'sep_conv_3' \(did you mean 'sep_conv_3x3'\?\)"):
        operation("sep_conv_3", 4, 1)


def check_strided_pointwise_convolution(channels: int) -> None:
    layer = PointwiseConv(channels, 4, 1, stride=2, bias=False).to(memory_format=torch.channels_last)
    x = torch.randn(8, channels, 9, 9).contiguous(memory_format=torch.channels_last).requires_grad_()
    for _ in range(100):
        torch.autograd.grad(layer(x).square().sum(), [x, layer.weight])
    layer, x = layer.double(), x.detach().double().requires_grad_()
    expected = conv2d(x, layer.weight, None, 2)
    torch.testing.assert_close(layer(x), expected)
    for a, b in zip(
        *(torch.autograd.grad(y.square().sum(), [x, layer.weight]) for y in (layer(x), expected)), strict=True
    ):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("channels", [1, 2, 3, 5, 7, 8])
def test_strided_pointwise_convolution_equals_the_librarys_and_trains_in_channels_last(channels: int) -> None:
    # in a process of its own: the fault that it avoids ends the process
    assert ended(started(check_strided_pointwise_convolution, channels)) == 0
