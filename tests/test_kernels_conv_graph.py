"""Graphs of convolutions against torch's, forward and backward, in float64; rounding; what the kernels do not take."""

from __future__ import annotations

import copy
import random
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor
from torch.nn.functional import conv2d

from advrush.kernels import native
from advrush.kernels.conv_graph import ConvGraph
from advrush.kernels.conv_layers import Convolution, Layer, Norm, Pool, is_quick
from advrush.kernels.winograd import gains, outputs_of

needs_kernels = pytest.mark.skipif(native.library() is None, reason="no compiled kernels")
SIZES = [
    (3, 5, 7, 9, 6),
    (2, 24, 32, 16, 16),
    (1, 17, 40, 1, 1),
    (2, 16, 16, 2, 7),
    (30, 16, 20, 3, 3),
    (9, 16, 33, 11, 8),
]
"""N, C, C', H, W: channels that leave vectors part empty, odd sides, one pixel, more tiles than go together."""


def drawn(*shapes: Sequence[int], dtype: torch.dtype = torch.float64) -> list[Tensor]:
    """Return normal numbers, maps in channels last."""
    generator = torch.Generator().manual_seed(0)
    tensors = [torch.randn(tuple(shape), generator=generator, dtype=dtype) for shape in shapes]
    return [t.contiguous(memory_format=torch.channels_last) if t.dim() == 4 else t for t in tensors]


def check(graph: ConvGraph, *given: Tensor, tolerance: float = 1e-12) -> None:
    """Compare values, values without a graph, and gradients for all given maps with torch's own operations."""
    given = tuple(x.detach().requires_grad_(True) for x in given)
    assert graph.applies(*given)
    own, expected = graph(*given), graph.plainly(*given)
    with torch.no_grad():
        for bare, map_ in zip(graph(*given), own, strict=True):
            assert torch.equal(bare, map_)
    dy = drawn(*(y.shape for y in expected))
    mine, theirs = (
        torch.autograd.grad(maps, given, dy, allow_unused=True, materialize_grads=True) for maps in (own, expected)
    )
    for one, other in zip((*own, *mine), (*expected, *theirs), strict=True):
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


@needs_kernels
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("adds", [False, True])
@pytest.mark.parametrize("sizes", SIZES)
def test_3x3(sizes: tuple[int, ...], adds: bool, relu: bool) -> None:
    n, c, cout, h, w = sizes
    x, residual, weight, bias = drawn((n, c, h, w), (n, cout, h, w), (cout, c, 3, 3), (cout,))
    layer = Convolution(weight, bias, 1, 1, 0, residual=1 if adds else None, relu=relu)
    check(ConvGraph([layer], 2 if adds else 1, [2 if adds else 1]), *((x, residual) if adds else (x,)))


@needs_kernels
@pytest.mark.parametrize("adds", [False, True])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("sizes", [(2, 24, 32, 16, 16), (3, 5, 40, 7, 6), (1, 17, 3, 1, 1)])
def test_1x1(sizes: tuple[int, ...], stride: int, adds: bool) -> None:
    n, c, cout, h, w = sizes
    x, weight, bias = drawn((n, c, h, w), (cout, c, 1, 1), (cout,))
    (residual,) = drawn(conv2d(x, weight, None, stride).shape)
    for own in (bias, None):
        layer = Convolution(weight, own, stride, 0, 0, residual=1 if adds else None, relu=adds)
        check(ConvGraph([layer], 2 if adds else 1, [2 if adds else 1]), *((x, residual) if adds else (x,)))


@needs_kernels
@pytest.mark.parametrize(
    ("k", "stride", "padding"), [(3, 1, 1), (3, 2, 1), (7, 2, 3), (4, 4, 0), (2, 3, 0), (5, 1, 0), (1, 2, 1)]
)
@pytest.mark.parametrize("sizes", [(2, 3, 24, 12, 12), (3, 1, 7, 9, 11), (1, 4, 18, 7, 7), (2, 33, 16, 8, 10)])
def test_other_filters(sizes: tuple[int, ...], k: int, stride: int, padding: int) -> None:
    n, c, cout, h, w = sizes
    x, weight, bias = drawn((n, c, h, w), (cout, c, k, k), (cout,))
    check(ConvGraph([Convolution(weight, bias, stride, padding, 0, relu=True)], 1, [1]), x)


@needs_kernels
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("affine", [False, True])
def test_norms_by_themselves(affine: bool, relu: bool) -> None:
    x, mean, variance, weight, bias = drawn((3, 21, 5, 4), (21,), (21,), (21,), (21,))
    given = (weight, bias) if affine else (None, None)
    check(ConvGraph([Norm(mean, variance.square(), *given, 1e-5, 0, relu)], 1, [1]), x, tolerance=1e-10)


@needs_kernels
@pytest.mark.parametrize("pool", [Pool(0, window=4), Pool(0, side=2), Pool(0, side=1)])
def test_pools(pool: Pool) -> None:
    x, weight = drawn((3, 5, 8, 8), (9, 5, 1, 1))
    check(ConvGraph([pool, Convolution(weight, None, 1, 0, 1)], 1, [1, 2]), x)


def residual_network(dtype: torch.dtype = torch.float64) -> ConvGraph:
    """Return two blocks as networks have them: states read twice, a projected shortcut, an identity, a pool."""
    shapes = [(16, 3, 3, 3), (24, 16, 3, 3), (24, 24, 3, 3), (24, 16, 1, 1), (24, 24, 3, 3), (20, 24, 3, 3)]
    weights = [weight / weight[0].numel() ** 0.5 for weight in drawn(*shapes, dtype=dtype)]
    biases = drawn(*[(len(weight),) for weight in weights], dtype=dtype)
    wb = list(zip(weights, biases, strict=True))
    return ConvGraph(
        [
            Convolution(*wb[0], 1, 1, 0, relu=True),  # state 2 of given 0 and 1
            Convolution(*wb[1], 2, 1, 2, relu=True),
            Convolution(*wb[3], 2, 0, 2),
            Convolution(*wb[2], 1, 1, 3, residual=4, relu=True),
            Convolution(*wb[4], 1, 1, 5, residual=5, relu=True),
            Convolution(*wb[5], 1, 1, 6, residual=1, relu=True),
            Pool(7, side=2),
        ],
        2,
        [8, 5],
    )


@needs_kernels
@pytest.mark.parametrize("n", [1, 7])
def test_a_graph(n: int) -> None:
    check(residual_network(), *drawn((n, 3, 12, 12), (n, 20, 6, 6)))


def random_graph(seed: int) -> tuple[ConvGraph, list[Tensor]]:
    """Return layers of any filters, strides, sums, pools and readers, and maps for them."""
    rng, generator = random.Random(seed), torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    n, side, across, count = (
        rng.choice([1, 2, 5, 13]),
        rng.choice([4, 5, 8, 9, 16]),
        rng.choice([0, 3]),
        rng.choice([1, 2]),
    )
    given = [normal(n, rng.choice([1, 3, 8, 16, 33]), side, side + across) for _ in range(count)]
    given = [x.contiguous(memory_format=torch.channels_last) for x in given]
    sizes = [tuple(x.shape[1:]) for x in given]
    layers: list[Layer] = []
    while len(layers) < 6:
        source = rng.randrange(len(sizes))
        c, h, w = sizes[source]
        windows = [side for side in (2, 3) if h % side == w % side == 0]
        if layers and windows and rng.random() < 0.15:
            layers.append(Pool(source, window=windows[0]))
            sizes.append((c, h // windows[0], w // windows[0]))
            continue
        if layers and rng.random() < 0.15:
            layers.append(Norm(normal(c), normal(c).square(), normal(c), None, 1e-2, source, relu=rng.random() < 0.5))
            sizes.append((c, h, w))
            continue
        k, stride = rng.choice([1, 2, 3, 3, 3, 4]), rng.choice([1, 1, 1, 2, 3])
        padding = rng.choice([k // 2, k // 2, 0])
        ho, wo = ((side + 2 * padding - k) // stride + 1 for side in (h, w))
        if min(ho, wo) < 1:
            continue
        same = [state for state, size in enumerate(sizes) if size[1:] == (ho, wo)]
        residual = rng.choice(same) if same and rng.random() < 0.5 else None
        cout = rng.choice([4, 16, 17, 32]) if residual is None else sizes[residual][0]
        weight, bias = normal(cout, c, k, k) / (c * k * k) ** 0.5, normal(cout) if rng.random() < 0.7 else None
        layers.append(Convolution(weight, bias, stride, padding, source, residual, rng.random() < 0.5))
        sizes.append((cout, ho, wo))
    outputs = rng.sample(range(count, len(sizes)), rng.randint(1, len(layers)))
    return ConvGraph(layers, count, outputs), given


@needs_kernels
@pytest.mark.parametrize("seed", range(40))
def test_random_graphs(seed: int) -> None:
    graph, given = random_graph(seed)
    check(graph, *given, tolerance=1e-10)


@needs_kernels
def test_gradients_for_some_of_the_given_maps() -> None:
    graph, (x, other) = residual_network(), drawn((3, 3, 12, 12), (3, 20, 6, 6))
    (y, _), (expected, _) = (run(x, other.requires_grad_(True)) for run in (graph, graph.plainly))
    (mine,), (theirs,) = (torch.autograd.grad(each.square().sum(), other) for each in (y, expected))
    torch.testing.assert_close(mine, theirs, rtol=1e-12, atol=1e-12)


@needs_kernels
def test_a_given_map_that_nothing_depends_on() -> None:
    x, unread, weight = drawn((2, 5, 6, 6), (2, 4, 6, 6), (7, 5, 3, 3))
    check(ConvGraph([Convolution(weight, None, 1, 1, 0)], 2, [2]), x, unread)


@needs_kernels
def test_maps_of_another_size_get_their_own_plan() -> None:
    graph = residual_network()
    for side in (12, 8, 12):
        check(graph, *drawn((2, 3, side, side), (2, 20, side // 2, side // 2)))


@needs_kernels
@pytest.mark.parametrize("side", [16, 6], ids=["4x4", "2x2"])
def test_float32_errs_no_more_than_the_library(side: int) -> None:
    x, weight, bias = drawn((2, 64, side, side), (64, 64, 3, 3), (64,))
    exact = conv2d(x, weight, bias, padding=1)
    single = [each.float() for each in (x, weight, bias)]
    graph = ConvGraph([Convolution(single[1], single[2], 1, 1, 0)], 1, [1])
    (own,), library = graph(single[0]), conv2d(*single, padding=1)
    assert float((own - exact).abs().max()) < 3 * float((library - exact).abs().max())


@needs_kernels
def test_images_and_threads_do_not_change_a_bit() -> None:
    graph = residual_network(torch.float32)
    given = [x.requires_grad_(True) for x in drawn((19, 3, 28, 28), (19, 20, 14, 14), dtype=torch.float32)]

    def found(threads: int, size: int) -> list[Tensor]:
        torch.set_num_threads(threads)
        parts = []
        for own in zip(*(x.split(size) for x in given), strict=True):
            y, state = graph(*own)
            parts.append([y, state, *torch.autograd.grad((y.sum() + state.square().sum()), own)])
        return [torch.cat(column).detach() for column in zip(*parts, strict=True)]

    before = torch.get_num_threads()
    try:
        together = found(1, 19)
        for one in (found(3, 19), found(1, 1), found(2, 5)):
            assert all(torch.equal(a, b) for a, b in zip(one, together, strict=True))
    finally:
        torch.set_num_threads(before)


@needs_kernels
def test_threads_may_change_between_forward_and_backward() -> None:
    graph, given = residual_network(), [x.requires_grad_(True) for x in drawn((9, 3, 12, 12), (9, 20, 6, 6))]
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        own, expected = graph(*given)[0].square().sum(), graph.plainly(*given)[0].square().sum()
        torch.set_num_threads(1)
        mine, theirs = (torch.autograd.grad(each, given) for each in (own, expected))
    finally:
        torch.set_num_threads(before)
    for one, other in zip(mine, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@needs_kernels
def test_a_copy_has_its_own_weights() -> None:
    graph, given = residual_network(), drawn((2, 3, 12, 12), (2, 20, 6, 6))
    before = graph(*given)[0].clone()
    copied = copy.deepcopy(graph)
    for layer in graph.layers:
        if isinstance(layer, Convolution):
            layer.weight.zero_()
    del graph, layer
    assert torch.equal(copied(*given)[0], before)
    check(copied, *given)


@needs_kernels
def test_what_the_kernels_do_not_take() -> None:
    x, residual, weight = drawn((2, 16, 6, 6), (2, 24, 6, 6), (24, 16, 3, 3), dtype=torch.float32)
    graph = ConvGraph([Convolution(weight, None, 1, 1, 0, residual=1)], 2, [2])
    assert graph.applies(x, residual)
    assert not graph.applies(x.contiguous(), residual)
    assert not graph.applies(x.double(), residual)
    assert not graph.applies(x[:, :8], residual)
    assert not graph.applies(x[:0], residual[:0])
    assert not graph.applies(x, residual[:1])
    assert not graph.applies(x, residual[:, :, :1, :1])
    assert not graph.applies(x)
    with torch.autocast("cpu", torch.bfloat16):
        assert not graph.applies(x, residual)


@needs_kernels
def test_pools_whose_windows_do_not_fit_are_torchs() -> None:
    x, weight = drawn((2, 3, 7, 7), (4, 3, 1, 1))
    for pool in (Pool(1, window=2), Pool(1, side=3)):
        graph = ConvGraph([Convolution(weight, None, 1, 0, 0), pool], 1, [2])
        assert not graph.applies(x)
        assert graph.plainly(x)[0].shape == (2, 4, 3, 3)


def test_sizes_that_gain() -> None:
    assert gains(16, 16) and gains(320, 320)
    assert not gains(64, 3) and not gains(512, 512)
    assert [outputs_of(side, side) for side in (1, 2, 3, 4, 5, 6, 7, 8, 32)] == [2, 2, 4, 4, 2, 2, 4, 4, 4]
    assert is_quick(torch.empty(64, 3, 7, 7), 2, 3) and is_quick(torch.empty(64, 64, 3, 3), 1, 1)
    assert not is_quick(torch.empty(32, 32, 5, 5), 1, 2) and not is_quick(torch.empty(512, 512, 3, 3), 2, 1)
