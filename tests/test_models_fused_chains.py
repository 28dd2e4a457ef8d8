"""Random chains: the fused and the linearized cell against the reference modules, value and gradient."""

from __future__ import annotations

import copy
from dataclasses import replace

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from advrush.curvature import input_curvature
from advrush.models.fused.conv_chain import read_chain
from advrush.models.linearized.curvature import curvature_gradients, is_supported
from advrush.models.supernet import Supernet
from advrush.space import DARTS
from advrush.space.operations import FactorizedReduce, SepConv

CHANNELS = 4  # of the one cell, a reduction


class Residual(nn.Module):
    """Holds a Sequential called `op`, as the primitives do, and computes something else with it."""

    def __init__(self) -> None:
        super().__init__()
        self.op = nn.Sequential(nn.ReLU(), nn.Conv2d(CHANNELS, CHANNELS, 1, bias=False), nn.BatchNorm2d(CHANNELS))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.op(x)  # type: ignore[no-any-return]


class DoubledConv(nn.Conv2d):
    """A convolution whose subclass computes something else."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


FEATURES = {
    "relu": lambda: nn.ReLU(),
    "max": lambda: nn.MaxPool2d(3, 1, 1),
    "wide max": lambda: nn.MaxPool2d(5, 1, 2),
    "average": lambda: nn.AvgPool2d(3, 1, 1, count_include_pad=False),
    "average with padding": lambda: nn.AvgPool2d(3, 1, 1),
    "divided average": lambda: nn.AvgPool2d(3, 1, 1, count_include_pad=False, divisor_override=5),
}
LAYERS = {
    "conv": lambda: nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, bias=False),
    "biased conv": lambda: nn.Conv2d(CHANNELS, CHANNELS, 1),
    "reflected conv": lambda: nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, bias=False, padding_mode="reflect"),
    "depthwise": lambda: nn.Conv2d(CHANNELS, CHANNELS, 3, padding=2, dilation=2, groups=CHANNELS, bias=False),
    "doubled conv": lambda: DoubledConv(CHANNELS, CHANNELS, 1, bias=False),
    "norm": lambda: nn.BatchNorm2d(CHANNELS, affine=False),
    "affine norm": lambda: nn.BatchNorm2d(CHANNELS),
    "batch norm of batches": lambda: nn.BatchNorm2d(CHANNELS, track_running_stats=False),
    "sigmoid": lambda: nn.Sigmoid(),
    "residual": lambda: Residual(),
    "separable": lambda: SepConv(CHANNELS, 3, 1),
    "nested": lambda: nn.Sequential(nn.ReLU(), nn.Identity()),
}
PARTS = {**FEATURES, **LAYERS}
SPACE = replace(DARTS, name="few", primitives=("none", "max_pool_3x3", "skip_connect", "dil_conv_3x3"))
chains = st.lists(st.sampled_from(sorted(PARTS)), max_size=5)


def supernet_with(names: list[list[str]]) -> tuple[Supernet, Tensor, Tensor]:
    """Return a small supernet in float64 some of whose primitives are replaced by the named chains."""
    torch.manual_seed(0)
    net = Supernet(SPACE, channels=2, layers=1, num_classes=3).double()
    for alpha in net.alphas().values():
        alpha.data.normal_()
    for number, chain in enumerate(names):
        module = nn.Sequential(*(PARTS[name]() for name in chain)).double()
        net.cells[0].edges[(4, 7, 8)[number]].operations[number] = module  # edges between nodes, of stride 1
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d) and module.running_var is not None:
            module.running_mean.normal_(std=0.3)
            module.running_var.uniform_(0.5, 2.0)
    return net, torch.randn(4, 3, 8, 8, dtype=torch.float64), torch.tensor([0, 1, 2, 0])


def value_and_gradients(net: Supernet, x: Tensor, y: Tensor, fast: bool) -> list[Tensor]:
    net = copy.deepcopy(net)
    net.fast = fast
    for cell in net.cells:
        cell.fast = fast
    x = x.clone().requires_grad_()
    logits = net(x)
    loss = cross_entropy(logits, y)
    return [logits, *torch.autograd.grad(loss, [x, *net.parameters()], materialize_grads=True, allow_unused=True)]


@pytest.mark.parametrize("training", [True, False])
@settings(max_examples=12, deadline=None, derandomize=True)
@given(names=st.lists(chains, min_size=1, max_size=3))
def test_fused_forward_and_gradients_are_those_of_the_modules(training: bool, names: list[list[str]]) -> None:
    net, x, y = supernet_with(names)
    net.train(training)
    fast, plain = (value_and_gradients(net, x, y, flag) for flag in (True, False))
    for a, b in zip(fast, plain, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-11)


@settings(max_examples=12, deadline=None, derandomize=True)
@given(names=st.lists(chains, min_size=1, max_size=3))
def test_linearized_curvature_is_that_of_double_backward_or_refused(names: list[list[str]]) -> None:
    net, x, y = supernet_with(names)
    if not is_supported(net):
        return
    value, gradients = curvature_gradients(net, x, y, h=0.7)
    alphas = net.alphas()
    oracle = input_curvature(net, x, y, h=0.7)
    wanted = torch.autograd.grad(oracle, list(alphas.values()), materialize_grads=True)
    torch.testing.assert_close(value, oracle.detach(), rtol=1e-9, atol=1e-12)
    for kind, gradient in zip(alphas, wanted, strict=True):
        assert (gradients[kind] - gradient).norm() <= 1e-8 * gradient.norm() + 1e-11


@pytest.mark.parametrize("bare", [name for name in FEATURES if name not in ("average with padding", "divided average")])
def test_bare_features_take_the_linearized_path(bare: str) -> None:
    net, x, y = supernet_with([[bare], [bare]])
    assert is_supported(net)
    value, gradients = curvature_gradients(net, x, y, h=0.7)
    oracle = input_curvature(net, x, y, h=0.7)
    torch.testing.assert_close(value, oracle.detach(), rtol=1e-9, atol=1e-12)
    wanted = torch.autograd.grad(oracle, list(net.alphas().values()), materialize_grads=True)
    torch.testing.assert_close(list(gradients.values()), list(wanted), rtol=1e-7, atol=1e-11)


@pytest.mark.parametrize(
    "module",
    [
        Residual(),
        DoubledConv(CHANNELS, CHANNELS, 1),
        nn.Sequential(DoubledConv(CHANNELS, CHANNELS, 1), nn.BatchNorm2d(CHANNELS)),
    ],
)
def test_subclasses_and_lookalikes_run_as_they_are(module: nn.Module) -> None:
    assert read_chain(module) is None


def test_nested_factorized_reduce_keeps_its_relu_and_norm() -> None:
    chain = read_chain(nn.Sequential(FactorizedReduce(4, 4)))
    assert chain is not None
    assert isinstance(chain.feature, nn.ReLU)
    assert len(chain.stages) == 1
