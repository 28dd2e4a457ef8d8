from __future__ import annotations

import pytest
import torch
from torch import nn

from advrush.models.build import build
from advrush.models.count import Counts, count


def test_a_network_counted_by_hand() -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 16, 10))
    counts = count(network, image_size=4)
    macs = 16 * 8 * 27 + 8 * 16 * 10
    # saved: the image for the first layer, and the rectified map, which ReLU and the linear layer share
    assert counts == Counts(8 * 27 + 8 + 128 * 10 + 10, macs, 4 * (3 * 16 + 8 * 16))


def test_grouped_and_strided_convolutions() -> None:
    network = nn.Sequential(nn.Conv2d(8, 8, 3, 2, 1, groups=8, bias=False), nn.Conv2d(8, 4, 1, bias=False))
    assert count(network, image_size=8, in_channels=8).macs == 16 * (8 * 9 + 8 * 4)


@pytest.mark.parametrize("name", ["advrush", "amoebanet", "resnet18"])
def test_macs_agree_with_fvcore(name: str) -> None:
    fvcore = pytest.importorskip("fvcore.nn", reason="fvcore, the second counter, is not installed")
    network = build(name, channels=4, layers=None if name == "resnet18" else 5).eval()
    analysis = fvcore.FlopCountAnalysis(network, torch.rand(1, 3, 32, 32))
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    operators = analysis.by_operator()
    assert count(network).macs == operators["conv"] + operators["linear"]


@pytest.mark.parametrize(
    ("name", "macs"), [("advrush", 645_337_728), ("pdarts", 532_174_464), ("resnet18", 555_422_720)]
)
def test_macs_at_full_size(name: str, macs: int) -> None:
    assert count(build(name)).macs == macs


def test_counting_leaves_the_network_as_it_was() -> None:
    network = build("advrush", channels=2, layers=3)
    network.cells[1].eval()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    modes = [module.training for module in network.modules()]
    count(network, image_size=8)
    assert modes == [module.training for module in network.modules()]
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())
