"""The fast renderings against the modules they stand for, in float64."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, cross_entropy

from advrush.curvature import input_curvature
from advrush.kernels.avg_pool import averaged
from advrush.kernels.depthwise_conv import depthwise_conv2d
from advrush.models.fused.cell import mixed_cell, run_chain
from advrush.models.fused.conv_chain import read_chain
from advrush.models.fused.source import Source
from advrush.models.fused.terms import terms_of
from advrush.models.linearized.curvature import curvature_gradients, is_supported
from advrush.models.supernet import Cell, Supernet
from advrush.space import DARTS
from advrush.space.operations import DilConv, FactorizedReduce, SepConv


def plain_cell(cell: Cell, inputs: tuple[Tensor, ...], weights: Tensor) -> Tensor:
    """Run a cell edge by edge, as Eq. 7 reads."""
    nodes = [preprocess(x) for preprocess, x in zip(cell.preprocess, inputs, strict=True)]
    for (source, target), edge, row in zip(cell.topology.edges, cell.edges, weights, strict=True):
        if target == len(nodes):
            nodes.append(torch.zeros(()))
        nodes[target] = nodes[target] + edge(nodes[source], row)
    return torch.cat([nodes[i] for i in cell.topology.outputs], dim=1)


def fused_cell(cell: Cell, inputs: tuple[Tensor, ...], weights: Tensor) -> Tensor:
    return mixed_cell(cell.preprocess, cell.topology, cell.primitives(), inputs=inputs, weights=weights)


def random_tensor(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64).contiguous(memory_format=torch.channels_last)


def lively_supernet(layers: int, side: int) -> tuple[Supernet, Tensor, Tensor]:
    """Return a supernet with decided alphas and uneven running statistics, and a batch."""
    torch.manual_seed(layers)
    supernet = Supernet(DARTS, channels=2, layers=layers, num_classes=3).double()
    for alpha in supernet.alphas().values():
        alpha.data.normal_()
    x, y = random_tensor(3, 3, side, side), torch.tensor([0, 2, 1])
    with torch.no_grad():
        for _ in range(3):
            supernet(x)
        for norm in supernet.modules():
            if isinstance(norm, nn.BatchNorm2d):
                norm.running_mean += 0.3 * torch.randn_like(norm.running_mean)
                norm.running_var *= 0.5 + torch.rand_like(norm.running_var)
    return supernet, x, y


@pytest.mark.parametrize("kernel", [3, 5, 7])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("size", [(8, 6), (7, 9)])
def test_depthwise_convolution_and_its_gradients_are_the_library_s(
    kernel: int, stride: int, dilation: int, size: tuple[int, int]
) -> None:
    torch.manual_seed(0)
    x = random_tensor(2, 3, *size).requires_grad_()
    w = torch.randn(3, 1, kernel, kernel, dtype=torch.float64, requires_grad=True)
    y = depthwise_conv2d(x, w, stride=stride, dilation=dilation)
    expected = conv2d(x, w, None, stride, dilation * (kernel // 2), dilation, 3)
    torch.testing.assert_close(y, expected, rtol=0, atol=1e-12)
    cotangent = torch.randn_like(y)
    got = torch.autograd.grad(y, [x, w], cotangent)
    wanted = torch.autograd.grad(expected, [x, w], cotangent)
    torch.testing.assert_close(got, wanted, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (2, 1), (1, 2), (2, 2)])
def test_depthwise_convolution_has_second_derivatives(stride: int, dilation: int) -> None:
    torch.manual_seed(0)
    x = random_tensor(1, 2, 6, 4).requires_grad_()
    w = torch.randn(2, 1, 5, 5, dtype=torch.float64, requires_grad=True)

    def convolved(x: Tensor, w: Tensor) -> Tensor:
        return depthwise_conv2d(x, w, stride=stride, dilation=dilation)

    assert torch.autograd.gradgradcheck(convolved, (x, w))


@pytest.mark.parametrize(("kernel", "stride", "side"), [(3, 1, 7), (3, 2, 8), (5, 2, 9)])
def test_average_pool_is_the_library_s(kernel: int, stride: int, side: int) -> None:
    x = random_tensor(2, 3, side, side + 1)
    pool = nn.AvgPool2d(kernel, stride, kernel // 2, count_include_pad=False)
    torch.testing.assert_close(averaged(pool, x), pool(x), rtol=1e-12, atol=1e-12)


def test_average_pool_of_another_kind_is_left_to_the_library() -> None:
    x = random_tensor(1, 2, 6, 6)
    pool = nn.AvgPool2d(2, 2)
    assert torch.equal(averaged(pool, x), pool(x))


@pytest.mark.parametrize(
    "module",
    [
        SepConv(4, 3, 1),
        SepConv(4, 5, 2),
        DilConv(4, 5, 2),
        FactorizedReduce(4, 4),
        nn.Sequential(nn.MaxPool2d(3, 1, 1), nn.BatchNorm2d(4)),
        nn.Sequential(nn.MaxPool2d(3, 1, 1), nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)),
        nn.Identity(),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, 1),
        nn.AvgPool2d(3, 1, 1, count_include_pad=False),
    ],
)
def test_a_chain_computes_what_its_module_does(module: nn.Module) -> None:
    torch.manual_seed(0)
    module, x = module.double(), random_tensor(3, 4, 7, 7)
    chain = read_chain(module)
    assert chain is not None
    weight = torch.tensor(0.3, dtype=torch.float64)
    for training in (True, False):  # the first call gives the norms statistics of their own
        module.train(training)
        twin = copy.deepcopy(module)
        torch.testing.assert_close(run_chain(chain, Source(x)), twin(x), rtol=1e-10, atol=1e-12)
        if chain.stages:  # without one there is nothing that takes the weight along
            torch.testing.assert_close(run_chain(chain, Source(x), weight), 0.3 * twin(x), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    "module",
    [
        nn.Sequential(nn.AvgPool2d(3, 1, 1), nn.ReLU(), nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)),
        nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.BatchNorm2d(4)),
        nn.Sequential(nn.Sigmoid(), nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)),
        nn.Linear(3, 3),
    ],
)
def test_what_is_not_a_chain_is_told(module: nn.Module) -> None:
    assert read_chain(module) is None


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_fast_cells_are_the_cells(training: bool, layout: torch.memory_format) -> None:
    supernet, x, _ = lively_supernet(3, 10)
    twin = copy.deepcopy(supernet)
    results = []
    for net, run in ((supernet, plain_cell), (twin, fused_cell)):
        net.train(training)
        weights = net.edge_weights()
        states = (net.stem(x.contiguous(memory_format=layout)),) * 2
        for cell in net.cells:
            states = (*states[1:], run(cell, states, weights[cell.kind]))
        loss = cross_entropy(net.classifier(states[-1].mean(dim=(2, 3))), torch.tensor([0, 2, 1]))
        results.append([loss, *torch.autograd.grad(loss, list(net.parameters()))])
    torch.testing.assert_close(results[1], results[0], rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(twin.state_dict(), supernet.state_dict(), rtol=1e-12, atol=1e-12)


def test_fast_cells_take_primitives_that_are_no_chains() -> None:
    supernet, x, _ = lively_supernet(3, 8)
    cell = supernet.cells[0]
    cell.edges[3].operations[5] = nn.Sequential(nn.Sigmoid(), nn.Conv2d(2, 2, 3, padding=1)).double()
    assert any(term.chain is None for term in terms_of(cell.topology, cell.primitives()))
    assert not is_supported(supernet)
    states, weights = (supernet.stem(x),) * 2, supernet.edge_weights()[cell.kind]
    twin = copy.deepcopy(cell)
    torch.testing.assert_close(fused_cell(cell, states, weights), plain_cell(twin, states, weights))


@pytest.mark.parametrize("norm", [True, False])
def test_fast_cells_take_pools_with_and_without_a_norm(norm: bool) -> None:
    supernet, x, _ = lively_supernet(3, 8)
    space = replace(DARTS, pool_norm=norm)
    cell = Supernet(space, channels=2, layers=1, num_classes=3).double().cells[0]
    bare = [m for edge in cell.edges for m in edge.operations if isinstance(m, nn.MaxPool2d | nn.AvgPool2d)]
    assert len(bare) == (0 if norm else 2 * len(space.topology.edges))
    states = (supernet.stem(x).detach().requires_grad_(),) * 2
    weights = supernet.edge_weights()[cell.kind].detach().requires_grad_()
    results = []
    for net, run in ((cell, fused_cell), (copy.deepcopy(cell), plain_cell)):
        y = run(net, states, weights)
        results.append([y, *torch.autograd.grad(y.square().sum(), [states[0], weights])])
    torch.testing.assert_close(results[0], results[1], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(("layers", "side"), [(3, 8), (5, 9)])
def test_curvature_gradients_are_those_of_double_backward(layers: int, side: int) -> None:
    supernet, x, y = lively_supernet(layers, side)
    assert is_supported(supernet)
    before = copy.deepcopy(supernet.state_dict())
    value, gradients = curvature_gradients(supernet, x, y, h=1.5)
    assert supernet.training
    assert all(torch.equal(a, b) for a, b in zip(before.values(), supernet.state_dict().values(), strict=True))
    oracle = input_curvature(supernet, x, y, h=1.5)
    wanted = dict(zip(supernet.alphas(), torch.autograd.grad(oracle, list(supernet.alphas().values())), strict=True))
    assert value.item() > 1e-6
    torch.testing.assert_close(value, oracle.detach(), rtol=1e-11, atol=0)
    for kind, gradient in gradients.items():
        assert gradient.norm() > 1e-6
        assert (gradient - wanted[kind]).norm() < 1e-9 * wanted[kind].norm()


def test_curvature_without_a_step_is_zero_with_zero_gradient() -> None:
    supernet, x, y = lively_supernet(3, 8)
    value, gradients = curvature_gradients(supernet, x, y, h=0.0)
    assert value.item() == 0
    assert all(torch.equal(g, torch.zeros_like(g)) for g in gradients.values())
