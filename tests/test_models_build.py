from __future__ import annotations

import pytest
import torch

from advrush.errors import ConfigError, GenotypeError
from advrush.models.build import ARCHITECTURES, DISPLAY_NAMES, build, canonical, display_name
from advrush.models.count import parameters
from advrush.models.network import Network
from advrush.models.robnet import graph, robnet
from advrush.space import PUBLISHED, Genotype

CELLS = [name for name in ARCHITECTURES if name not in ("resnet18", "densenet121")]
PARAMETERS = {
    "resnet18": 11_173_962,
    "densenet121": 6_956_298,
    "advrush": 4_158_046,
    "robnet_free": 5_439_790,
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_at_full_size(name: str) -> None:
    with torch.device("meta"):
        assert parameters(build(name)) == PARAMETERS[name]


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_name_builds_a_small_network_that_learns(name: str) -> None:
    torch.manual_seed(0)
    layers = 3 if name in CELLS and name != "robnet_free" else None
    network = build(name, num_classes=4, image_size=8, in_channels=1, channels=2, layers=layers)
    logits = network(torch.rand(4, 1, 8, 8))
    assert logits.shape == (4, 4)
    grads = torch.autograd.grad(logits.square().sum(), list(network.parameters()))
    assert all(grad.isfinite().all() for grad in grads)


@pytest.mark.parametrize("name", ["resnet18", "densenet121"])
@pytest.mark.parametrize("side", [8, 13, 64])
def test_handcrafted_networks_take_any_size(name: str, side: int) -> None:
    network = build(name, num_classes=200, image_size=side, channels=2).eval()
    assert network(torch.rand(1, 3, side, side)).shape == (1, 200)


def test_handcrafted_names_are_those_of_the_common_cifar_code() -> None:
    resnet, densenet = (
        build("resnet18", channels=2).state_dict(),
        build("densenet121", channels=2).state_dict(),
    )
    assert {"conv1.weight", "bn1.weight", "layer1.0.conv1.weight", "layer2.0.shortcut.1.bias",
            "layer4.1.bn2.running_mean", "linear.bias"} <= set(resnet)  # fmt: skip
    assert {"conv1.weight", "dense1.5.conv2.weight", "trans3.conv.weight", "dense4.15.bn1.weight",
            "bn.weight", "linear.weight"} <= set(densenet)  # fmt: skip
    assert resnet["layer4.1.conv2.weight"].shape == (16, 16, 3, 3)


@pytest.mark.parametrize("spelling", ["DARTS_V2", "darts-v2", "Darts V2", "darts_v2", "DARTS (V2)"])
def test_names_in_any_spelling(spelling: str) -> None:
    assert canonical(spelling) == "darts_v2"
    assert display_name(spelling) == "DARTS (V2)"
    assert parameters(build(spelling, channels=2)) == parameters(build(PUBLISHED["DARTS_V2"], channels=2))


def test_a_genotype_builds_from_the_value_and_from_both_texts() -> None:
    genotype = PUBLISHED["RACL"]
    sizes = []
    for arch in (genotype, genotype.to_json(), genotype.to_darts(), "racl"):
        network = build(arch, channels=4, layers=4, auxiliary=True, drop_path=0.1)
        assert isinstance(network, Network)
        assert network.drop_path == 0.1
        assert display_name(arch) == "RACL"
        sizes.append(parameters(network))
    assert len(set(sizes)) == 1


def test_display_name_of_a_new_genotype() -> None:
    racl = PUBLISHED["RACL"]
    assert display_name(Genotype(racl.reduce, racl.normal, (2, 3, 4, 5), (2, 3, 4, 5))) == "genotype"
    assert set(DISPLAY_NAMES) == set(ARCHITECTURES)


def test_mistakes_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"unknown architecture 'resnet19' \(did you mean 'resnet18'\?\)"):
        build("resnet19")
    with pytest.raises(ConfigError, match="known: resnet18, densenet121"):
        build("zzz")
    with pytest.raises(GenotypeError, match="missing"):
        build('{"normal": []}')
    with pytest.raises(ConfigError, match="layers of resnet18"):
        build("resnet18", layers=20)
    with pytest.raises(ConfigError, match="layers of robnet_free"):
        build("robnet_free", layers=19)
    with pytest.raises(ConfigError, match="auxiliary of densenet121"):
        build("densenet121", auxiliary=True)
    with pytest.raises(ConfigError, match="drop_path of resnet18"):
        build("resnet18", drop_path=0.2)
    with pytest.raises(ConfigError, match="width: got 0"):
        build("resnet18", channels=0)
    with pytest.raises(ConfigError, match="channels: got 0"):
        build("advrush", channels=0)


def test_robnet_codes() -> None:
    codes = ["11", "10", "01", "00", *["00"] * 10]
    edges = graph(codes).edges
    assert [(e.source, e.target, e.primitive) for e in edges[:5]] == [
        (0, 2, "sep_conv_3x3"), (0, 2, "skip_connect"), (1, 2, "skip_connect"),
        (0, 3, "sep_conv_3x3"), (1, 3, "none"),
    ]  # fmt: skip
    with pytest.raises(GenotypeError, match="expected 14"):
        graph(codes[1:])
    with pytest.raises(GenotypeError, match="cell edge 1: got code '12'"):
        graph(["11", "12", *codes[2:]])
    with pytest.raises(ConfigError, match="did you mean 'robnet_free'"):
        robnet("robnet_fee")


def test_robnet_has_no_affine_norms_but_in_its_stem() -> None:
    names = [name for name, p in robnet(channels=2).named_parameters() if p.ndim == 1]
    assert names == ["stem.1.weight", "stem.1.bias", "classifier.bias"]
