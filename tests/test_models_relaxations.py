"""GDAS and partial channels equal the formulas of their papers, and searches run with them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from advrush.commands.options import read_recipe
from advrush.errors import ConfigError
from advrush.models.linearized.curvature import is_supported
from advrush.models.relaxations import GumbelSupernet, PartialEdge, PartialSupernet
from advrush.models.supernet import Supernet
from advrush.run import Run
from advrush.searching import AdvRush, SearchConfig, derive, search
from advrush.space import DARTS, NASBENCH201, Space

X = torch.randn(2, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(7))
SPACES = pytest.mark.parametrize("space", [NASBENCH201, DARTS], ids=lambda space: space.name)


def gumbel(space: Space, *, fast: bool = True) -> GumbelSupernet:
    torch.manual_seed(0)
    net = GumbelSupernet(space, channels=4, layers=3, num_classes=3, in_channels=1, fast=fast).double().eval()
    for alpha in net.alphas().values():
        torch.nn.init.normal_(alpha)
    net.begin_step(0.5, torch.Generator().manual_seed(1))
    return net


@SPACES
def test_gdas_computes_the_drawn_primitive_with_the_derivative_of_the_soft_weights(space: Space) -> None:
    net = gumbel(space)
    assert net.temperature == pytest.approx(5.05)  # from 10 to 0.1
    alphas = net.alphas()
    soft = {kind: ((alpha.softmax(-1).log() + net.noise[kind]) / 5.05).softmax(-1) for kind, alpha in alphas.items()}
    hard = {kind: torch.zeros_like(s).scatter_(1, s.argmax(1, keepdim=True), 1.0) for kind, s in soft.items()}
    for kind, weights in net.edge_weights().items():
        torch.testing.assert_close(weights, hard[kind])
    logits = net(X)
    found = torch.autograd.grad(logits.square().sum(), list(alphas.values()))

    plain = gumbel(space, fast=False)
    fixed = {kind: h.clone().requires_grad_(True) for kind, h in hard.items()}
    plain.edge_weights = lambda: fixed  # type: ignore[assignment, method-assign]
    wanted = plain(X)
    torch.testing.assert_close(logits, wanted)
    by_weight = torch.autograd.grad(wanted.square().sum(), list(fixed.values()))
    expected = torch.autograd.grad(list(soft.values()), list(alphas.values()), by_weight)
    torch.testing.assert_close(found, expected)


def test_draws_depend_on_the_generator_alone_and_follow_the_probabilities() -> None:
    net = gumbel(NASBENCH201)
    first = net.edge_weights()["cell"].detach().clone()
    net.begin_step(0.5, torch.Generator().manual_seed(1))
    assert torch.equal(first, net.edge_weights()["cell"].detach())
    total = torch.zeros_like(first)
    generator = torch.Generator().manual_seed(3)
    for _ in range(3000):
        net.begin_step(0.0, generator)
        total += net.edge_weights()["cell"].detach().round()
    torch.testing.assert_close(total / 3000, net.probabilities()["cell"].detach(), atol=0.04, rtol=0)


@SPACES
def test_the_fast_passes_hold_for_gdas(space: Space) -> None:
    net, plain = gumbel(space), gumbel(space, fast=False)
    assert is_supported(net)
    y = torch.tensor([0, 2])
    value, gradients = AdvRush().curvature(net, X, y)
    wanted_value, wanted = AdvRush(fast=False).curvature(plain, X, y)
    torch.testing.assert_close(value, wanted_value)
    torch.testing.assert_close(gradients, wanted)


@pytest.mark.parametrize("stride", [1, 2])
def test_partial_channels_are_those_of_the_paper(stride: int) -> None:
    torch.manual_seed(1)
    edge = PartialEdge(DARTS.primitives, 8, stride).double()
    x, weights = torch.randn(3, 8, 6, 6, dtype=torch.float64), torch.rand(9, dtype=torch.float64)
    mixed = sum((weights[column] * module(x[:, :2]) for column, module in edge.primitives().items()),
                start=torch.zeros((), dtype=torch.float64))  # fmt: skip
    rest = x[:, 2:] if stride == 1 else max_pool2d(x[:, 2:], 2, 2)
    joined = torch.cat([mixed, rest], dim=1)
    order = [group * 2 + place for place in range(2) for group in range(4)]  # place by place through the four groups
    torch.testing.assert_close(edge(x, weights), weights[8] * joined[:, order])


@SPACES
def test_edge_weights_are_softmaxes_over_the_edges_of_a_node(space: Space) -> None:
    torch.manual_seed(2)
    net = PartialSupernet(space, channels=4, layers=3, num_classes=3, in_channels=1).double()
    for parameter in net.alphas().values():
        torch.nn.init.normal_(parameter)
    kind = space.kinds[0]
    weights, beta = net.edge_weights()[kind], net.alphas()[f"{kind}_edges"]
    for target in {target for _, target in space.topology.edges}:
        rows = list(space.topology.incoming(target))
        torch.testing.assert_close(weights[rows, -1], beta[rows].softmax(0))
    torch.testing.assert_close(weights[:, :-1], net.alphas()[kind].softmax(-1))
    product = weights[:, :-1] * weights[:, -1:]
    torch.testing.assert_close(net.kept_by()[kind], product)
    assert not {id(p) for p in net.weights()} & {id(p) for p in net.alphas().values()}
    gradients = torch.autograd.grad(net(X).square().sum(), list(net.alphas().values()))
    assert all(float(gradient.abs().max()) > 0 for gradient in gradients)
    assert not is_supported(net)


@pytest.mark.parametrize("relaxation", ["gdas", "partial"])
def test_searches_run_resume_and_are_derived(tmp_path: Path, relaxation: str) -> None:
    base = read_recipe("search", SearchConfig, "smoke")
    config = replace(base, relaxation=relaxation, space="nasbench201", epochs=2)  # type: ignore[arg-type]
    run = search(config, runs_dir=tmp_path, display=False)
    result = run.result()
    assert derive(run).space == "nasbench201"
    assert result["curvature_path"] == ("linearized" if relaxation == "gdas" else "double backward")
    alphas = run.load_tensors("alphas/epoch-001.safetensors")
    assert set(alphas) == ({"cell"} if relaxation == "gdas" else {"cell", "cell_edges"})
    genotype = json.loads((run.path / "genotype.json").read_text())
    softmax = search(replace(config, relaxation="softmax"), runs_dir=tmp_path, display=False)
    assert softmax.path != run.path
    first = Run.at(softmax.path).metrics()[0]["loss_val"]
    assert first != run.metrics()[0]["loss_val"] and genotype["space"] == "nasbench201"


def test_plain_supernets_take_no_notice_of_steps() -> None:
    torch.manual_seed(0)
    net = Supernet(NASBENCH201, channels=4, layers=3, in_channels=1).double().eval()
    before: Tensor = net(X).detach()
    net.begin_step(0.3, torch.Generator().manual_seed(0))
    assert torch.equal(before, cast(Tensor, net(X)).detach())


def test_partial_channels_need_a_multiple_of_four() -> None:
    with pytest.raises(ConfigError, match="multiple of 4"):
        SearchConfig(relaxation="partial", channels=6)
    with pytest.raises(ConfigError, match="multiple of 4"):
        PartialSupernet(NASBENCH201, channels=6)
