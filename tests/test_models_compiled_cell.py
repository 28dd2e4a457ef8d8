"""Cells as one call of compiled kernels against the modules, in float64: values, derivatives, running statistics."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, max_pool2d

from advrush.kernels import native
from advrush.models.fused import cell as fused
from advrush.models.fused.cell import mixed_cell
from advrush.models.fused.read_plan import read_plan
from advrush.models.fused.terms import terms_of
from advrush.models.supernet import Cell
from advrush.space import DARTS
from advrush.space.operations import ReLUConvBN
from advrush.space.space import CellPlan, Topology

pytestmark = pytest.mark.skipif(native.library() is None, reason="no compiled kernels")
CHANNELS = 6


def draw(*size: int) -> Tensor:
    x = torch.randn(*size, dtype=torch.float64)
    return x.contiguous(memory_format=torch.channels_last) if len(size) == 4 else x


def cell_of(kind: str) -> Cell:
    reduces = kind == "reduce"
    cell = Cell(DARTS, CellPlan(kind, 1, reduces, False), (CHANNELS, CHANNELS), CHANNELS).double()
    cell.preprocess = nn.ModuleList([nn.Identity(), nn.Identity()])  # the states themselves are asked for
    for norm in cell.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.running_mean.normal_()
    return cell


def results(cell: Cell, inputs: list[Tensor], weights: Tensor, wanted: str, second: bool = False) -> list[Tensor]:
    """Return the cell's value, its derivatives for what is `wanted`, and the running statistics after it."""
    leaves = {
        "inputs": [x.clone(memory_format=torch.preserve_format).requires_grad_() for x in inputs],
        "weights": [weights.clone().requires_grad_()],
        "parameters": list(cell.parameters()),
    }
    asked = [leaf for name in wanted.split() for leaf in leaves[name]]
    cell.requires_grad_("parameters" in wanted)
    given = leaves["inputs"] if "inputs" in wanted else inputs
    by = leaves["weights"][0] if "weights" in wanted else weights
    y = cell(tuple(given), by)
    found = torch.autograd.grad(y.pow(3).sum(), asked, create_graph=second)
    more = torch.autograd.grad(sum(each.pow(2).sum() for each in found), asked) if second else ()
    return [each.detach() for each in (y, *found, *more)] + [each.double() for each in cell.buffers()]


def compare(cell: Cell, inputs: list[Tensor], weights: Tensor, wanted: str, second: bool = False) -> None:
    plain = copy.deepcopy(cell)
    plain.fast = False
    pairs = zip(
        results(cell, inputs, weights, wanted, second), results(plain, inputs, weights, wanted, second), strict=True
    )
    for got, expected in pairs:
        assert float((got - expected).norm()) <= 1e-11 * float(expected.norm()) + 1e-13


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record the kernels that run, so that a test can tell that a cell took them."""
    called: list[str] = []
    real = native.call
    monkeypatch.setattr(native, "call", lambda name, *rest: (called.append(name), real(name, *rest))[1])
    return called


@pytest.mark.parametrize("kind", ["normal", "reduce"])
@pytest.mark.parametrize("side", [8, 7])
@pytest.mark.parametrize("wanted", ["inputs weights parameters", "weights", "inputs", "parameters", "weights inputs"])
def test_a_compiled_cell_is_the_cell(kind: str, side: int, wanted: str, planned: list[str]) -> None:
    torch.manual_seed(side)
    cell, inputs = cell_of(kind), [draw(3, CHANNELS, side, side + 2), draw(3, CHANNELS, side, side + 2)]
    compare(cell, inputs, draw(14, 8), wanted)
    assert planned == ["cell_forward", "cell_backward"]


@pytest.mark.parametrize("kind", ["normal", "reduce"])
def test_a_compiled_cell_has_second_derivatives(kind: str) -> None:
    torch.manual_seed(0)
    compare(
        cell_of(kind),
        [draw(2, CHANNELS, 6, 6), draw(2, CHANNELS, 6, 6)],
        draw(14, 8),
        "inputs weights parameters",
        True,
    )


def test_the_pass_that_can_be_differentiated_leaves_the_running_statistics() -> None:
    cell, inputs, weights = cell_of("normal"), [draw(2, CHANNELS, 6, 6).requires_grad_()] * 2, draw(14, 8)
    y = cell(tuple(inputs), weights)
    after = copy.deepcopy(cell.state_dict())
    torch.autograd.grad(y.sum(), inputs[0], create_graph=True)
    torch.testing.assert_close(cell.state_dict(), after, rtol=0, atol=0)


@pytest.mark.parametrize("stride", [1, 2])
def test_pools_of_equal_and_of_missing_values(stride: int) -> None:
    """Of equal values the first takes the gradient, as in torch; nan stays nan."""
    torch.manual_seed(0)
    x = draw(2, CHANNELS, 7, 8).relu()
    x[0, :, :4] = 0
    topology, weights = Topology(1, 1, ((0, 1),), (1,)), draw(1, 2)
    edge = {0: nn.MaxPool2d(3, stride, 1), 1: nn.AvgPool2d(3, stride, 1, count_include_pad=False)}
    assert read_plan(topology, terms_of(topology, [edge]), [x], weights) is not None
    x.requires_grad_()
    y = mixed_cell([nn.Identity()], topology, [edge], inputs=[x], weights=weights)
    wanted = weights[0, 0] * max_pool2d(x, 3, stride, 1)
    wanted = wanted + weights[0, 1] * avg_pool2d(x, 3, stride, 1, count_include_pad=False)
    torch.testing.assert_close(y, wanted, rtol=1e-13, atol=1e-14)
    dy = draw(*y.shape)
    got, expected = (torch.autograd.grad(each, x, dy)[0] for each in (y, wanted))
    torch.testing.assert_close(got, expected, rtol=1e-13, atol=1e-14)
    broken = x.detach().clone()
    broken[1, 2, 3, 3] = torch.nan
    only = mixed_cell([nn.Identity()], topology, [{0: edge[0]}], inputs=[broken], weights=weights)
    assert torch.equal(only.isnan(), max_pool2d(broken, 3, stride, 1).isnan())


def test_threads_change_no_bit() -> None:
    torch.manual_seed(0)
    cell, weights = cell_of("reduce").float(), torch.randn(14, 8)
    inputs = [draw(5, CHANNELS, 9, 9).float().contiguous(memory_format=torch.channels_last) for _ in range(2)]
    threads, found = torch.get_num_threads(), []
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            found.append(results(copy.deepcopy(cell), inputs, weights, "inputs weights parameters"))
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_an_input_that_nothing_reads_has_a_gradient_of_zero() -> None:
    topology, weights = Topology(2, 1, ((1, 2),), (2,)), draw(1, 1)
    x = [draw(2, CHANNELS, 5, 5).requires_grad_() for _ in range(2)]
    y = mixed_cell([nn.Identity()] * 2, topology, [{0: nn.Identity()}], inputs=x, weights=weights)
    first, second = torch.autograd.grad(y.sum(), x, materialize_grads=True)
    assert not first.any()
    torch.testing.assert_close(second, weights[0, 0].expand_as(second).contiguous(memory_format=torch.channels_last))


@pytest.mark.parametrize("change", ["eval", "other module", "other type", "layout", "kernel"])
def test_cells_that_the_kernels_do_not_take_run_term_by_term(change: str, planned: list[str]) -> None:
    torch.manual_seed(0)
    cell, x = cell_of("normal"), draw(2, CHANNELS, 6, 6)
    edge = cell.edges[3].operations
    match change:
        case "eval":
            cell.eval()
        case "other module":
            edge[2] = nn.Sigmoid()
        case "other type":
            edge[3] = ReLUConvBN(CHANNELS, CHANNELS, 3).double()
        case "layout":
            x = x.contiguous()
        case "kernel":
            edge[0] = nn.MaxPool2d(5, 1, 2)
    plain = copy.deepcopy(cell)
    plain.fast = False
    weights = draw(14, 8)
    torch.testing.assert_close(cell((x, x), weights), plain((x, x), weights), rtol=1e-10, atol=1e-12)
    assert "cell_forward" not in planned


def test_a_cell_without_compiled_kernels_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    cell, inputs, weights = cell_of("reduce"), [draw(2, CHANNELS, 6, 6), draw(2, CHANNELS, 6, 6)], draw(14, 8)
    twin = copy.deepcopy(cell)
    got = results(cell, inputs, weights, "inputs weights parameters")
    monkeypatch.setattr(fused, "read_plan", lambda *_: None)
    for a, b in zip(got, results(twin, inputs, weights, "inputs weights parameters"), strict=True):
        assert float((a - b).norm()) <= 1e-11 * float(b.norm()) + 1e-13
