"""A search space of one's own, defined here, goes from search to report; so does NAS-Bench-201."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn.functional import cross_entropy

from advrush.cli import main
from advrush.commands.train import architecture
from advrush.curvature import input_curvature
from advrush.data import DataConfig
from advrush.errors import ConfigError, GenotypeError
from advrush.evaluation import EvaluateConfig, evaluate
from advrush.models.build import build
from advrush.models.cell import plain_modules
from advrush.models.linearized.curvature import curvature_gradients, is_supported
from advrush.models.supernet import Supernet
from advrush.models.weights.import_darts import import_network
from advrush.models.weights.saved import load
from advrush.report import write_report
from advrush.searching import SearchConfig, derive, search
from advrush.space import NASBENCH201, SPACES, BlockPlan, CellPlan, Plan, Space, Topology, every_edge_space
from advrush.training import AttackConfig, TrainConfig, train


def shrink(channels_in: int, channels_out: int, stride: int, affine: bool) -> nn.Module:
    return nn.Sequential(nn.ReLU(), nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False))


def narrow(channels: int, stride: int, affine: bool) -> nn.Module:
    layers = nn.Conv2d(channels, channels, 1, stride, bias=False), nn.BatchNorm2d(channels, affine=affine)
    return nn.Sequential(nn.ReLU(), *layers)


def skeleton(layers: int) -> tuple[Plan, ...]:
    cells = [CellPlan("cell", 1, False, False)] * (layers - 1)
    return (*cells, BlockPlan("shrink", 2), CellPlan("cell", 2, False, False))


TOY = every_edge_space(
    "toy",
    ("skip_connect", "narrow", "max_pool_3x3"),
    Topology(inputs=1, nodes=2, edges=((0, 1), (0, 2), (1, 2)), outputs=(1, 2)),
    skeleton,
    stem_multiplier=2,
    fewest_layers=2,
    default_channels=4,
    default_layers=3,
    operations={"narrow": narrow},
    blocks={"shrink": shrink},
)


@pytest.fixture(params=["toy", "nasbench201"])
def space(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Space:
    monkeypatch.setitem(SPACES, "toy", TOY)
    return SPACES[request.param]


def test_from_search_to_report(space: Space, tmp_path: Path) -> None:
    data = DataConfig(dataset="digits", train_examples=64, test_examples=32)
    config = SearchConfig(
        name="own", space=space.name, data=data, channels=2, layers=3, epochs=2, warmup_epochs=1, batch_size=16,
        crop=1, flip=False,
    )  # fmt: skip
    found = search(config, runs_dir=tmp_path, device="cpu", display=False)
    assert found.result()["curvature"] > 0
    assert found.result()["curvature_path"] == "linearized"
    architecture = derive(found)
    trained = train(
        TrainConfig(
            name="own", arch=architecture.to_json(), channels=2, layers=3, data=data, epochs=1, batch_size=16,
            attack=AttackConfig(eps=0.1, steps=1, step_size=0.1, val_steps=1), validation_examples=16,
        ), runs_dir=tmp_path, device="cpu", display=False,
    )  # fmt: skip
    network: Any = load(trained.path)
    network = getattr(network, "model", network)
    assert network.space is space
    assert [type(module).__name__ == "Cell" for module in network.cells].count(True) == 3
    config = EvaluateConfig(name="own", data=data, attacks=("fgsm", "pgd2"), eps=0.1)
    result = evaluate(trained.path, config, runs_dir=tmp_path, device="cpu", display=False).result()
    assert [0 <= attack["robust_acc"] <= result["clean_acc"] <= 1 for attack in result["attacks"]] == [True, True]
    page = write_report(tmp_path / "report.html", title="own", runs=[found.path, trained.path]).read_text()
    assert page.count('class="weight"') >= len(space.topology.edges) * len(space.primitives)


def lively(space: Space) -> tuple[Supernet, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    net = Supernet(space, channels=2, layers=3, num_classes=3).double()
    for alpha in net.alphas().values():
        alpha.data.normal_()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(std=0.3)
            module.running_var.uniform_(0.5, 2.0)
    return net, torch.randn(4, 3, 9, 9, dtype=torch.float64), torch.tensor([0, 1, 2, 0])


@pytest.mark.parametrize("training", [True, False])
def test_the_fast_supernet_is_the_plain_one(space: Space, training: bool) -> None:
    results = []
    for fast in (True, False):
        net, x, y = lively(space)
        net.train(training).fast = fast
        for cell in net.cells:
            cell.fast = fast
        x = x.requires_grad_()
        logits = net(x)
        gradients = torch.autograd.grad(cross_entropy(logits, y), [x, *net.parameters()])
        results.append([logits, *gradients, *(value.clone() for value in net.buffers())])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


def test_linearized_curvature_is_that_of_double_backward(space: Space) -> None:
    net, x, y = lively(space)
    assert is_supported(net)
    value, gradients = curvature_gradients(net, x, y, h=0.7)
    oracle = input_curvature(net, x, y, h=0.7)
    torch.testing.assert_close(value, oracle.detach(), rtol=1e-9, atol=1e-12)
    for kind, wanted in zip(net.alphas(), torch.autograd.grad(oracle, list(net.alphas().values())), strict=True):
        assert wanted.abs().max() > 1e-6
        torch.testing.assert_close(gradients[kind], wanted, rtol=1e-8, atol=1e-11)


def test_a_derived_network_computes_alike_on_every_path(space: Space) -> None:
    torch.manual_seed(0)
    weights = {kind: torch.rand(len(space.topology.edges), len(space.primitives)) for kind in space.kinds}
    architecture = space.discretize(weights)
    assert space.parse(architecture.to_json()) == architecture
    network = build(architecture.to_json(), num_classes=3, image_size=9).double().eval()
    x = torch.randn(2, 3, 9, 9, dtype=torch.float64)
    with plain_modules():
        plain = network(x)
    torch.testing.assert_close(network(x), plain)
    with pytest.raises(ConfigError, match="auxiliary"):
        build(architecture, auxiliary=True)


@pytest.mark.parametrize(("primitive", "parameters"), [("nor_conv_3x3", 1_531_546), ("none", 73_306)])
def test_the_published_networks_of_nasbench201(primitive: str, parameters: int) -> None:
    text = f"|{primitive}~0|+|{primitive}~0|{primitive}~1|+|{primitive}~0|{primitive}~1|{primitive}~2|"
    network = build(text)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters  # NATS-Bench's largest, smallest
    assert {"stem.0.weight", "cells.5.branches.1.0.op.1.weight", "lastact.0.weight"} <= set(network.state_dict())
    assert NASBENCH201.parse(text).to_text() == text


def test_the_text_of_nasbench201_is_an_architecture_for_every_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    text = "|nor_conv_3x3~0|+|none~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|none~2|"
    for words in (["show", text], ["show", text, "--out", "cell.svg"], ["analyze", "architecture", text, "ADVRUSH"]):
        assert main(words) == 0
    assert "nor conv 3×3" in capsys.readouterr().out
    assert architecture(text) == text


@pytest.mark.parametrize("primitive", ["nor_conv_1x1", "skip_connect"])
def test_weights_of_nasbench201_are_imported_by_name(primitive: str, tmp_path: Path) -> None:
    text = f"|{primitive}~0|+|none~0|none~1|+|none~0|skip_connect~1|avg_pool_3x3~2|"
    network = build(text, channels=3, layers=6, num_classes=4).eval()
    save_file(network.state_dict(), tmp_path / "net.safetensors")
    again = import_network(tmp_path / "net.safetensors", text).eval()
    x = torch.rand(2, 3, 16, 16)
    assert torch.equal(again(x), network(x))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("|nor_conv_3x3~0|+|none~0|none~1|", "three nodes"),
        ("|nor_conv_3x3~0|+|none~0|none~1|+|none~0|none~1|none~1|", "node 3"),
        ("|nor_conv_3x4~0|+|none~0|none~1|+|none~0|none~1|none~2|", "nor_conv_3x3"),
        ('{"space": "nasbench201", "cell": 3}', "expected"),
    ],
)
def test_bad_cells_of_nasbench201_are_refused(text: str, message: str) -> None:
    with pytest.raises(GenotypeError, match=message):
        build(text)


def test_a_skeleton_whose_sizes_do_not_fit_is_refused() -> None:
    topology = Topology(inputs=2, nodes=1, edges=((0, 2), (1, 2)), outputs=(2,))
    plans = (CellPlan("cell", 1, True, False), CellPlan("cell", 1, False, False))
    own = every_edge_space("bad", ("skip_connect",), topology, lambda layers: plans)
    with pytest.raises(ConfigError, match="previous_reduces"):
        Supernet(own, channels=2, layers=2)
