"""The linearized cell and supernet against autograd through the reference modules, in float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.functional import jvp

from advrush.models.fused.conv_chain import is_linear_given_statistics, read_chain
from advrush.models.linearized.block import FoldedBlock, LinearizedBlock
from advrush.models.linearized.cell import FoldedCell, LinearizedCell
from advrush.models.linearized.supernet import FoldedSupernet, LinearizedSupernet
from advrush.models.supernet import Cell, Supernet
from advrush.space import DARTS
from advrush.space.operations import FactorizedReduce, block


def uneven(net: nn.Module) -> None:
    """Give the batch norms statistics of their own, and fix them."""
    for norm in net.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.running_mean.normal_(std=0.3)
            norm.running_var.uniform_(0.5, 2.0)
    net.double().eval()


def supernet() -> Supernet:
    """Return a supernet whose cells run module by module: normal, reducing, reducing."""
    net = Supernet(DARTS, channels=2, layers=3, num_classes=3, fast=False)
    for alpha in net.alphas().values():
        alpha.data.normal_()
    uneven(net)
    return net


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64).contiguous(memory_format=torch.channels_last)


def by_edge(matrix_like: Tensor, gradients: dict[object, Tensor]) -> Tensor:
    """Return edge gradients as a matrix (edges, primitives)."""
    matrix = torch.zeros_like(matrix_like)
    for term, value in gradients.items():
        matrix[term.row, term.column] = value
    return matrix


@pytest.mark.parametrize(("place", "side"), [(0, 6), (1, 7), (2, 5)])
def test_cell_has_value_vjp_jvp_and_edge_gradients_of_autograd(place: int, side: int) -> None:
    torch.manual_seed(place)
    net = supernet()
    cell = net.cells[place]
    assert isinstance(cell, Cell)
    widths = [next(m for m in module.modules() if isinstance(m, nn.Conv2d)).in_channels for module in cell.preprocess]
    halved = isinstance(cell.preprocess[0], FactorizedReduce)
    sides = (2 * side - 1 if halved else side, side)
    inputs = tuple(random(2, width, each, each) for width, each in zip(widths, sides, strict=True))
    weights = net.edge_weights()[cell.kind].detach().requires_grad_()
    linearized = LinearizedCell(FoldedCell(cell, weights), inputs)
    with torch.no_grad():
        value = linearized.value()
        c, other = torch.randn_like(value), torch.randn_like(value)
        tangents = tuple(torch.randn_like(x) for x in inputs)
        first = linearized.vjp(c)
        linearized.jvp(tuple(torch.randn_like(x) for x in inputs), linearized.vjp(other).states)
        pushed, of_jvp = linearized.jvp(tangents, first.states)
        again = linearized.vjp(c, edges=False)

    leaves = tuple(x.clone().requires_grad_() for x in inputs)
    reference = cell(leaves, weights)
    torch.testing.assert_close(value, reference.detach(), rtol=1e-11, atol=1e-12)
    *wanted, of_vjp = torch.autograd.grad((reference * c).sum(), [*leaves, weights])
    torch.testing.assert_close(first.inputs, wanted, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(by_edge(weights, first.edge_gradients), of_vjp, rtol=1e-9, atol=1e-12)
    assert again.edge_gradients == {}
    assert all(torch.equal(a, b) for a, b in zip(again.inputs, first.inputs, strict=True))

    _, wanted_pushed = jvp(lambda *x: cell(x, weights), inputs, tangents, create_graph=True)
    torch.testing.assert_close(pushed, wanted_pushed.detach(), rtol=1e-10, atol=1e-12)
    (wanted_edges,) = torch.autograd.grad((wanted_pushed * c).sum(), weights)
    assert wanted_edges.norm() > 1e-3
    torch.testing.assert_close(by_edge(weights, of_jvp), wanted_edges, rtol=1e-9, atol=1e-12)


def test_supernet_has_vjp_and_jvp_of_autograd_whatever_was_asked_before() -> None:
    torch.manual_seed(5)
    net, x = supernet(), random(2, 3, 8, 8)
    with torch.no_grad():
        point = LinearizedSupernet(FoldedSupernet(net), x)
        c, t = torch.randn_like(point.logits), torch.randn_like(x)
        g, cotangents = point.vjp(c)
        point.vjp(torch.randn_like(c))
        point.edge_gradients(torch.randn_like(c))
        jt, _ = point.jvp(t, cotangents)
    leaf = x.clone().requires_grad_()
    logits, wanted = jvp(net, x, t)
    torch.testing.assert_close(point.logits, logits.detach(), rtol=1e-11, atol=1e-12)
    torch.testing.assert_close(jt, wanted.detach(), rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(g, torch.autograd.grad((net(leaf) * c).sum(), leaf)[0], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("side", [6, 7])
def test_block_has_value_vjp_and_jvp_of_autograd(side: int) -> None:
    torch.manual_seed(side)
    module = block("residual", 3, 4, 2, affine=True)
    uneven(module)
    x = random(2, 3, side, side)
    with torch.no_grad():
        linearized = LinearizedBlock(FoldedBlock(module), x)
        value = linearized.value()
        c, t = torch.randn_like(value), torch.randn_like(x)
        pulled, pushed = linearized.vjp(c), linearized.jvp(t)
    leaf = x.clone().requires_grad_()
    torch.testing.assert_close(value, module(x).detach(), rtol=1e-11, atol=1e-12)
    torch.testing.assert_close(pulled, torch.autograd.grad((module(leaf) * c).sum(), leaf)[0], rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(pushed, jvp(module, x, t)[1].detach(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("convolution", "linear"),
    [
        (nn.Conv2d(4, 4, 3, padding=1, bias=False), True),
        (nn.Conv2d(4, 4, 3, padding="same", bias=False), False),
        (nn.Conv2d(4, 4, 3, padding=1, bias=True), False),
    ],
)
def test_convolutions_that_are_not_linearized_are_told(convolution: nn.Module, linear: bool) -> None:
    chain = read_chain(nn.Sequential(convolution, nn.BatchNorm2d(4)))
    assert chain is not None
    assert is_linear_given_statistics(chain) is linear
