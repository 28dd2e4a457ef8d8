"""The supernet: Eq. 7, its parameters, its genotype."""

import math

import pytest
import torch

from advrush.models.supernet import MixedEdge, Supernet
from advrush.space import DARTS, PRIMITIVES
from advrush.space.operations import operation


@pytest.mark.parametrize("training", [True, False])
def test_fast_supernet_computes_what_the_plain_one_does(training: bool) -> None:
    torch.manual_seed(0)
    plain = Supernet(DARTS, channels=3, layers=4, num_classes=5, fast=False).double()
    fast = Supernet(DARTS, channels=3, layers=4, num_classes=5).double()
    fast.load_state_dict(plain.state_dict())
    x = torch.randn(4, 3, 16, 16).double()
    outputs = []
    for supernet in (plain, fast):
        supernet.train(training)
        logits = supernet(x)
        gradients = torch.autograd.grad(logits.square().sum(), list(supernet.parameters()))
        outputs.append([logits, *gradients, *supernet.buffers()])
    for one, other in zip(*outputs, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("stride", [1, 2])
def test_mixed_edge_is_the_weighted_sum_of_all_primitives(stride: int) -> None:
    torch.manual_seed(0)
    edge = MixedEdge(PRIMITIVES, 4, stride).double()
    x, weights = torch.randn(2, 4, 8, 8).double(), torch.randn(8).double().softmax(0)
    none = operation("none", 4, stride)(x) * weights[0]
    terms = [weights[i] * module(x) for i, module in zip(edge.columns, edge.operations, strict=True)]
    torch.testing.assert_close(edge(x, weights), none + sum(terms), rtol=1e-12, atol=1e-12)


def test_paper_supernet_has_the_darts_size() -> None:
    supernet = Supernet(DARTS)
    assert sum(weight.numel() for weight in supernet.weights()) == 1_930_618
    assert {kind: tuple(alpha.shape) for kind, alpha in supernet.alphas().items()} == {
        "normal": (14, 8),
        "reduce": (14, 8),
    }
    assert supernet(torch.rand(2, 3, 32, 32)).shape == (2, 10)


def test_alphas_begin_near_zero_and_belong_to_the_state() -> None:
    supernet = Supernet(DARTS, channels=4, layers=3)
    assert max(alpha.abs().max().item() for alpha in supernet.alphas().values()) < 6e-3
    assert {"alpha.normal", "alpha.reduce"} <= set(supernet.state_dict())
    for entropy in supernet.entropies().values():
        assert entropy == pytest.approx(math.log(8), abs=1e-4)


def test_weights_and_alphas_are_all_parameters_each_once() -> None:
    supernet = Supernet(DARTS, channels=4, layers=3)
    parts = [id(p) for p in supernet.weights()] + [id(p) for p in supernet.alphas().values()]
    assert sorted(parts) == sorted(id(p) for p in supernet.parameters())


def test_genotype_follows_the_largest_alphas() -> None:
    supernet = Supernet(DARTS, channels=4, layers=3)
    with torch.no_grad():
        for alpha in supernet.alphas().values():
            alpha.zero_()
            alpha[:, 0] = 5.0  # none never wins
            for row in (0, 1, 2, 4, 6, 8, 9, 13):
                alpha[row, 4] = 1.0
    graph = supernet.genotype().cells()["normal"]
    kept = {(edge.source, edge.target) for edge in graph.edges}
    assert kept == {DARTS.topology.edges[row] for row in (0, 1, 2, 4, 6, 8, 9, 13)}
    assert {edge.primitive for edge in graph.edges} == {"sep_conv_3x3"}
