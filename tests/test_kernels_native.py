"""Compiled kernels against autograd in float64; chains against their modules; installation without a compiler."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from itertools import product
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, relu

from advrush.kernels import native
from advrush.kernels import separable_conv as kernel
from advrush.kernels.native_norm import channel_sums, combine, norm_gradients, statistics
from advrush.kernels.separable_conv import Before, Cotangent, StageShape
from advrush.models.fused import cell as fused
from advrush.models.fused.conv_chain import read_chain
from advrush.models.fused.separable_chain import run_separable, separable_stages
from advrush.models.fused.source import Source
from advrush.models.linearized.activations import linearize
from advrush.models.linearized.affine import fold
from advrush.models.linearized.term import linearize_term
from advrush.space.operations import DilConv, SepConv

pytestmark = pytest.mark.skipif(
    native.library() is None,
    reason="no compiled kernels: no g++ at installation, another processor, or ADVRUSH_NATIVE=0",
)
SHAPES = [StageShape(*each) for each in product((3, 5, 7), (1, 2), (1, 2))]
SIZES = [(1, 5, 8, 8), (3, 16, 7, 9), (20, 8, 9, 7), (16, 36, 8, 8)]


def draw(*size: int, dtype: torch.dtype = torch.float64) -> Tensor:
    x = torch.randn(*size, dtype=dtype)
    return x.contiguous(memory_format=torch.channels_last) if len(size) == 4 else x


def along(x: Tensor) -> Tensor:
    return x.view(1, -1, 1, 1)


def stage(t: Tensor, filters: Tensor, matrix: Tensor, shape: StageShape) -> Tensor:
    padding = shape.dilation * (shape.kernel // 2)
    return conv2d(conv2d(t, filters, None, shape.stride, padding, shape.dilation, len(filters)), matrix)


def close(got: Tensor | None, wanted: Tensor, tolerance: float = 1e-12) -> None:
    assert got is not None
    got, wanted = got.detach(), wanted.detach()
    assert float((got - wanted).norm()) <= tolerance * max(float(wanted.norm()), 1e-30)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_a_stage_and_its_gradients_are_those_of_autograd(shape: StageShape, size: tuple[int, int, int, int]) -> None:
    torch.manual_seed(0)
    c, out, height, width = size
    x, scale, shift, bias = draw(3, c, height, width), draw(c), draw(c), draw(out)
    filters, matrix = draw(c, 1, *[shape.kernel] * 2).requires_grad_(), draw(out, c, 1, 1).requires_grad_()
    t = (x * along(scale) + along(shift)).requires_grad_()
    y = stage(relu(t), filters, matrix, shape)
    before = Before(True, scale, shift)
    got, sums = kernel.forward(x, filters, matrix, shape, before, bias=bias, sums=True)
    close(got, y + along(bias))
    assert sums is not None
    close(sums[0], (y + along(bias)).sum((0, 2, 3)), 1e-10)
    close(sums[1], (y + along(bias)).square().sum((0, 2, 3)))
    dy, (a, b, e) = draw(*y.shape), draw(3, out)
    y.backward(along(a) * dy + along(b) * y.detach() + along(e))
    made = Cotangent(dy, y.detach().contiguous(memory_format=torch.channels_last), a, b, e)
    back = kernel.backward(x, filters, matrix, shape, before, made, weights=(True, True), sums=True)
    for found, wanted in ((back.x, t.grad), (back.depthwise, filters.grad), (back.pointwise, matrix.grad)):
        assert wanted is not None
        close(found, wanted)
    assert back.sums is not None
    close(back.sums[0], t.grad.sum((0, 2, 3)), 1e-10)  # type: ignore[union-attr]
    close(back.sums[1], (t.grad * x).sum((0, 2, 3)), 1e-10)  # type: ignore[operator]


@pytest.mark.parametrize("shape", [StageShape(3, 1, 2), StageShape(5, 2, 1)], ids=str)
def test_the_linear_map_with_a_mask_and_its_transpose(shape: StageShape) -> None:
    torch.manual_seed(0)
    x, mask, filters, matrix = draw(2, 6, 9, 8), draw(2, 6, 9, 8), draw(6, 1, *[shape.kernel] * 2), draw(10, 6, 1, 1)
    y = kernel.forward(x, filters, matrix, shape, Before(mask=mask))[0]
    close(y, stage(x * (mask > 0), filters, matrix, shape))
    c = draw(*y.shape)
    q = kernel.adjoint(c, filters, matrix, shape, (9, 8), mask)
    close((q * x).sum(), (c * y).sum(), 1e-10)
    assert not q[mask <= 0].any()
    free = kernel.adjoint(c, filters, matrix, shape, (9, 8))
    close(free * (mask > 0), q)
    other = kernel.adjoint(c.contiguous(), filters, matrix, shape, (9, 8), mask.contiguous())
    assert torch.equal(other, q), "the layout of the maps decides nothing"


def test_float32_differs_by_its_rounding_alone_and_threads_change_no_bit() -> None:
    torch.manual_seed(0)
    x, filters, matrix = draw(9, 36, 10, 10), draw(36, 1, 5, 5), draw(36, 36, 1, 1)
    dy, shape, before = draw(9, 36, 10, 10), StageShape(5, 1, 2), Before(True)

    def both(dtype: torch.dtype) -> list[Tensor]:
        x_, filters_, matrix_, dy_ = (each.to(dtype) for each in (x, filters, matrix, dy))
        y, sums = kernel.forward(x_, filters_, matrix_, shape, before, sums=True)
        back = kernel.backward(x_, filters_, matrix_, shape, before, Cotangent(dy_), weights=(True, True), sums=True)
        return [each for each in (y, sums, *back) if each is not None]

    single, double = both(torch.float32), both(torch.float64)
    for got, wanted in zip(single, double, strict=True):
        close(got.double(), wanted, 2e-6)
    threads = torch.get_num_threads()
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            assert all(torch.equal(a, b) for a, b in zip(both(torch.float32), single, strict=True))
    finally:
        torch.set_num_threads(threads)


def test_the_passes_of_batch_norm() -> None:
    torch.manual_seed(0)
    z, dy, gamma, beta = draw(4, 11, 9, 5).requires_grad_(), draw(4, 11, 9, 5), draw(11), draw(11)
    norm = nn.BatchNorm2d(11, eps=1e-3).double()
    with torch.no_grad():
        norm.weight.copy_(gamma)
        norm.bias.copy_(beta)
    y = norm(z)
    y.backward(dy)
    map_ = z.detach()
    found = statistics(channel_sums(map_, map_), 4 * 9 * 5, 1e-3)
    scale = gamma * found.inverse_std
    close(combine(map_, scale, beta - found.mean * scale, out=torch.empty_like(map_)), y.detach())
    norm_ = norm_gradients(channel_sums(dy, map_), gamma, found, torch.float64)
    close(combine(dy, norm_.a, norm_.e, map_, norm_.b, out=torch.empty_like(map_)), z.grad)  # type: ignore[arg-type]
    close(norm_.scale, norm.weight.grad)  # type: ignore[arg-type]
    close(norm_.shift, norm.bias.grad)  # type: ignore[arg-type]


class ReLUNorm(nn.Sequential):
    """A pointwise convolution between ReLU and batch norm."""

    def __init__(self, affine: bool) -> None:
        super().__init__(nn.ReLU(), nn.Conv2d(8, 8, 1, bias=False), nn.BatchNorm2d(8, affine=affine))


MODULES = [
    lambda affine: nn.Sequential(*ReLUNorm(affine)),
    lambda affine: SepConv(8, 3, 1, affine), lambda affine: SepConv(8, 5, 2, affine),
    lambda affine: DilConv(8, 3, 1, affine), lambda affine: DilConv(8, 5, 2, affine),
]  # fmt: skip


def gradients(
    module: nn.Module, x: Tensor, weight: Tensor, node: Tensor, compiled: bool, monkey: pytest.MonkeyPatch
) -> list[Tensor]:
    """Return value, first and second derivatives, running statistics of node + weight * module(x)."""
    chain = read_chain(module)
    assert chain is not None
    x, weight = x.clone(memory_format=torch.preserve_format).requires_grad_(), weight.clone().requires_grad_()
    leaf = node.clone(memory_format=torch.preserve_format).requires_grad_()
    if compiled:
        y = run_separable(chain, x, weight, leaf * 1)
        assert y is not None
    else:
        with monkey.context() as patch:
            patch.setattr(native, "library", lambda: None)
            y = leaf + fused.run_chain(chain, Source(x), weight)
    wanted = [x, weight, leaf, *module.parameters()]
    first = torch.autograd.grad(y.pow(3).sum(), wanted, create_graph=True)
    second = torch.autograd.grad(first[0].pow(2).sum() + first[1], [x, weight, *module.parameters()])
    return [y, *first, *second, *(b.double() for b in module.buffers())]


@pytest.mark.parametrize("make", MODULES)
@pytest.mark.parametrize("affine", [False, True])
def test_a_chain_has_the_values_and_derivatives_of_its_modules(
    make: object, affine: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    x, weight = draw(4, 8, 8, 8), torch.tensor(0.7, dtype=torch.float64)
    results = []
    for compiled in (True, False):
        torch.manual_seed(1)
        module = make(affine).double()  # type: ignore[operator]
        for parameter in module.parameters():
            nn.init.normal_(parameter)
        node = draw(*module(x).shape)
        results.append(gradients(module, x, weight, node, compiled, monkeypatch))
    for got, wanted in zip(*results, strict=True):
        close(got, wanted, 1e-9)


def test_first_derivatives_alone_take_the_kernels_backward_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    module = SepConv(8, 3, 1, affine=True).double()
    x, weight, dy = (
        draw(4, 8, 8, 8).requires_grad_(),
        torch.tensor(0.3, dtype=torch.float64).requires_grad_(),
        draw(4, 8, 8, 8),
    )
    chain = read_chain(module)
    assert chain is not None
    wanted = torch.autograd.grad(weight * module(x), [x, weight, *module.parameters()], dy)
    called: list[str] = []
    real = native.call
    monkeypatch.setattr(native, "call", lambda name, *rest: (called.append(name), real(name, *rest)))
    y = run_separable(chain, x, weight)
    assert y is not None
    got = torch.autograd.grad(y, [x, weight, *module.parameters()], dy)
    assert called == ["chain_forward", "chain_backward"]
    for each, other in zip(got, wanted, strict=True):
        close(each, other, 1e-10)


@pytest.mark.parametrize("make", MODULES)
def test_a_frozen_chain_is_a_function_of_its_input_alone(make: object) -> None:
    torch.manual_seed(0)
    module = make(True).double()  # type: ignore[operator]
    for parameter in module.parameters():
        nn.init.normal_(parameter)
    module(draw(8, 8, 8, 8))
    module.eval().requires_grad_(False)
    chain, x = read_chain(module), draw(4, 8, 9, 7).requires_grad_()
    assert chain is not None
    y, wanted = run_separable(chain, x), module(x)
    assert y is not None
    close(y, wanted)
    dy = draw(*y.shape)
    first, other = (torch.autograd.grad(each, x, dy, create_graph=True)[0] for each in (y, wanted))
    close(first, other)
    plain = torch.autograd.grad(run_separable(chain, x), x, dy)[0]  # type: ignore[arg-type]
    close(plain, other)


def test_values_that_are_no_numbers_stay_so() -> None:
    module = DilConv(8, 3, 1, affine=False)
    chain, x = read_chain(module), draw(2, 8, 8, 8, dtype=torch.float32)
    assert chain is not None
    x[0, 3, 4, 4] = torch.nan
    y = run_separable(chain, x)
    assert y is not None
    assert y.isnan().any()


def test_what_the_kernels_do_not_take_is_left_to_torch() -> None:
    module = SepConv(8, 3, 1)
    chain, x = read_chain(module), torch.randn(2, 8, 8, 8)
    assert chain is not None
    assert run_separable(chain, x) is None  # not channels last
    assert run_separable(chain, x.half().contiguous(memory_format=torch.channels_last)) is None
    module.op[1] = nn.Conv2d(8, 8, 9, padding=4, groups=8, bias=False)
    larger = read_chain(module)
    assert larger is not None
    assert separable_stages(larger) is None


def test_installing_without_a_compiler_builds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interface = ModuleType("hatchling.builders.hooks.plugin.interface")  # it is there while a package is built only
    interface.BuildHookInterface = object  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, interface.__name__, interface)
    spec = importlib.util.spec_from_file_location("hatch_build", Path(__file__).parents[1] / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    hook = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hook)
    monkeypatch.setenv("CXX", str(tmp_path / "no-compiler"))
    assert hook.compile_kernels(tmp_path) == []


def test_a_library_of_other_sources_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built = native.path_for(torch.backends.cpu.get_cpu_capability())
    assert built is not None
    for path in (built, *built.parent.glob("*.h"), *built.parent.glob("*.cpp")):
        shutil.copy(path, tmp_path)
    monkeypatch.setattr(native, "path_for", lambda capability: tmp_path / built.name)
    assert native.library.__wrapped__() is not None
    with (tmp_path / "chain.h").open("a") as file:
        file.write("// another line\n")
    with pytest.warns(UserWarning, match="compiled from another source than there is now, and is not used"):
        assert native.library.__wrapped__() is None


TERMS = [
    lambda: SepConv(8, 3, 1, affine=True), lambda: SepConv(8, 5, 2, affine=True), lambda: DilConv(8, 3, 2, affine=True),
    lambda: nn.Sequential(*ReLUNorm(True)), lambda: nn.Identity(),
    lambda: nn.Sequential(nn.MaxPool2d(3, 1, 1), nn.BatchNorm2d(8)),
    lambda: nn.Sequential(nn.AvgPool2d(3, 2, 1, count_include_pad=False), nn.BatchNorm2d(8, affine=False)),
]  # fmt: skip


@pytest.mark.parametrize("make", TERMS)
@pytest.mark.parametrize("added", [False, True])
def test_linearized_terms_are_those_of_the_general_operations(
    make: object, added: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    module = make().double()  # type: ignore[operator]
    for parameter in module.parameters():
        nn.init.normal_(parameter)
    module(draw(8, 8, 8, 8))
    chain = read_chain(module.eval())
    assert chain is not None
    with torch.no_grad():
        x, weight = draw(3, 8, 9, 8), torch.tensor(-0.7, dtype=torch.float64)
        y = module(x)
        target, c, t = draw(*y.shape), draw(*y.shape), draw(*x.shape)

        def numbers(compiled: bool) -> list[Tensor]:
            monkeypatch.setattr(native, "applies", lambda *maps: compiled)
            feature = linearize(chain.feature, x)
            term, value = linearize_term(fold(chain.stages), feature, weight, target.clone() if added else None)
            close(value, weight * y + (target if added else 0), 1e-10)
            assert (type(term).__name__ == "_General") != compiled
            tangent = t if term.includes_feature else feature.jvp(t)
            pushed, along = term.add_jvp(tangent, target.clone() if added else None, c)
            pulled, product = term.add_vjp(c, None, c.sum(dim=(0, 2, 3)))
            assert product is not None
            twice, none = term.add_vjp(c, pulled.clone(), None)
            assert none is None
            close(twice, 2 * pulled)
            return [pushed, along, pulled if term.includes_feature else feature.vjp(pulled), product]

        for got, wanted in zip(numbers(True), numbers(False), strict=True):
            close(got, wanted, 1e-11)
        close(numbers(True)[3], (c * y).sum(), 1e-10)
