"""Cells with fixed weights as one function of compiled kernels, against plain modules, in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from advrush.kernels import frozen_cell as kernel
from advrush.kernels import native
from advrush.kernels.frozen_cell import FrozenCell, Path
from advrush.models.cell import Cell, plain_modules
from advrush.modes import frozen, weights_unchanged
from advrush.space.genotype import CellGraph, GraphEdge
from advrush.space.space import CellPlan

pytestmark = pytest.mark.skipif(native.library() is None, reason="no compiled kernels")

NORMAL = CellGraph(
    2,
    3,
    (
        GraphEdge(0, 2, "sep_conv_3x3"),
        GraphEdge(1, 2, "skip_connect"),
        GraphEdge(2, 3, "dil_conv_5x5"),  # reads a state that is put out
        GraphEdge(2, 3, "skip_connect"),
        GraphEdge(0, 4, "sep_conv_5x5"),
        GraphEdge(3, 4, "dil_conv_3x3"),
        GraphEdge(1, 4, "none"),
    ),
    (2, 4),
)
REDUCTION = CellGraph(
    2,
    2,
    (
        GraphEdge(0, 2, "sep_conv_3x3"),
        GraphEdge(1, 2, "dil_conv_3x3"),
        GraphEdge(0, 3, "sep_conv_7x7"),
        GraphEdge(2, 3, "skip_connect"),
    ),
    (3, 2),
)


def cell(graph: CellGraph, channels: int, plan: CellPlan, affine: bool = True) -> Cell:
    torch.manual_seed(0)
    made = Cell(graph, plan, (12, 20), channels=channels, affine=affine).double().eval()
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)  # type: ignore[union-attr]
            module.running_var.uniform_(0.5, 2.0)  # type: ignore[union-attr]
            if module.affine:
                nn.init.uniform_(module.weight, -1.5, 1.5)
                nn.init.normal_(module.bias, 0, 0.1)
    return made


def maps(height: int, width: int, halved: bool = False) -> list[Tensor]:
    """Return two inputs, the first twice as large where the cell before was a reduction."""
    torch.manual_seed(1)
    scale = 2 if halved else 1
    sizes = ((3, 12, scale * height, scale * width), (3, 20, height, width))
    return [
        torch.randn(size, dtype=torch.float64).contiguous(memory_format=torch.channels_last).requires_grad_()
        for size in sizes
    ]


def value_and_gradients(module: Cell, inputs: list[Tensor]) -> list[Tensor]:
    y = module(*inputs)
    dy = torch.randn(y.shape, dtype=y.dtype, generator=torch.Generator().manual_seed(2))
    return [y, *torch.autograd.grad(y, inputs, dy)]


def second(module: Cell, inputs: list[Tensor]) -> list[Tensor]:
    """Return gradients of a function of gradients."""
    found = torch.autograd.grad(module(*inputs).square().sum(), inputs, create_graph=True)
    return list(torch.autograd.grad(sum(g.pow(3).sum() for g in found), inputs))


def close(first: list[Tensor], wanted: list[Tensor]) -> None:
    for a, b in zip(first, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-11 * float(b.detach().abs().max()))


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Count the calls of the kernels."""
    made: list[str] = []

    def counted(name: str) -> Callable[..., Any]:
        original = getattr(kernel, name)

        def call(*args: Any, **options: Any) -> Any:
            made.append(name)
            return original(*args, **options)

        return call

    for name in ("pack", "forward", "backward"):
        monkeypatch.setattr(kernel, name, counted(name))
    return made


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("channels", [3, 8, 36])
@pytest.mark.parametrize(("height", "width"), [(8, 8), (7, 13), (1, 2), (19, 32)])
def test_a_normal_cell_computes_what_its_modules_do(
    calls: list[str], height: int, width: int, channels: int, affine: bool
) -> None:
    module, inputs = cell(NORMAL, channels, CellPlan("normal", 1, False, False), affine), maps(height, width)
    with frozen(module):
        found = value_and_gradients(module, inputs)
        assert calls == ["pack", "forward", "backward"]
        with plain_modules():
            close(found, value_and_gradients(module, inputs))


@pytest.mark.parametrize("channels", [4, 20])
@pytest.mark.parametrize(("height", "width"), [(8, 8), (7, 13), (5, 4)])
def test_a_reduction_and_a_cell_after_one(calls: list[str], height: int, width: int, channels: int) -> None:
    for graph, plan in ((REDUCTION, CellPlan("reduce", 1, True, False)), (NORMAL, CellPlan("normal", 1, False, True))):
        halved = plan.previous_reduces
        module, inputs = cell(graph, channels, plan), maps(height, width, halved)
        with frozen(module):
            found = value_and_gradients(module, inputs)
            with plain_modules():
                close(found, value_and_gradients(module, inputs))
    assert calls == 2 * ["pack", "forward", "backward"]


def test_the_gradient_of_one_input_alone_and_none_at_all(calls: list[str]) -> None:
    module, (first, last) = cell(NORMAL, 8, CellPlan("normal", 1, False, False)), maps(6, 6)
    with frozen(module):
        both = value_and_gradients(module, [first, last])
        fixed = module(first.detach(), last)
        dy = torch.randn(fixed.shape, dtype=fixed.dtype, generator=torch.Generator().manual_seed(2))
        close([fixed, *torch.autograd.grad(fixed, last, dy)], [both[0], both[2]])
        with torch.no_grad():
            close([module(first, last)], both[:1])
    assert calls.count("forward") == 3


def test_second_derivatives() -> None:
    module, inputs = cell(NORMAL, 5, CellPlan("normal", 1, False, False)), maps(5, 6)
    with frozen(module):
        found = second(module, inputs)
        with plain_modules():
            close(found, second(module, inputs))


def test_nan_passes_the_relu_as_it_does_in_torch() -> None:
    module, inputs = cell(NORMAL, 8, CellPlan("normal", 1, False, False)), maps(4, 4)
    with torch.no_grad():
        inputs[0][1, 3] = torch.nan
    with frozen(module):
        found = value_and_gradients(module, inputs)
        with plain_modules():
            wanted = value_and_gradients(module, inputs)
    for a, b in zip(found, wanted, strict=True):
        assert torch.equal(a.isnan(), b.isnan())


def test_a_plan_is_kept_while_nothing_changes(calls: list[str]) -> None:
    module, inputs = cell(NORMAL, 8, CellPlan("normal", 1, False, False)), maps(6, 6)
    with frozen(module):
        for _ in range(2):
            module(*inputs)
        assert calls.count("pack") == 2
        with weights_unchanged():
            for _ in range(3):
                module(*inputs)
            assert calls.count("pack") == 3
            module(*maps(6, 7))  # of another size
            assert calls.count("pack") == 4


@pytest.mark.parametrize("name", ["_ops.0.op.1.weight", "_ops.0.op.7.bias", "preprocess1.op.2.running_var"])
def test_weights_that_change_all_the_same_are_noticed(calls: list[str], name: str) -> None:
    module, inputs = cell(NORMAL, 8, CellPlan("normal", 1, False, False)), maps(6, 6)
    with frozen(module), weights_unchanged():
        module(*inputs)
        with torch.no_grad():
            module.state_dict(keep_vars=True)[name].mul_(2.0)
        found = value_and_gradients(module, inputs)
        with plain_modules():
            close(found, value_and_gradients(module, inputs))
    assert calls.count("pack") == 2


def test_trained_weights_and_batch_statistics_take_another_path(calls: list[str]) -> None:
    module, inputs = cell(NORMAL, 8, CellPlan("normal", 1, False, False)), maps(6, 6)
    with weights_unchanged():
        with frozen(module):
            module(*inputs)
        module(*inputs)  # weights want gradients
        with frozen(module):
            for part in module.preprocess0.modules():  # type: ignore[union-attr, operator]
                part.train()
            module(*inputs)
    assert calls.count("forward") == 1 + 1  # the last: `preprocess0` by itself, the rest as before


def test_a_given_map_that_is_put_out_and_one_that_nobody_reads() -> None:
    x, unread = maps(4, 5)
    y = [each.detach() for each in (x, unread)]
    made: FrozenCell = kernel.pack(y, [Path(0, 2, ())], (0, 2))
    z, masks = kernel.forward(made, y, masks=True)
    assert torch.equal(z, torch.cat([x, x], 1))
    dx: list[Tensor | None] = [torch.empty_like(each) for each in y]
    assert masks is not None
    kernel.backward(made, z, masks, dx)
    assert torch.equal(dx[0], 2 * y[0])  # type: ignore[arg-type]
    assert dx[1] is not None
    assert not dx[1].any()
