from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from advrush.errors import ConfigError
from advrush.models.cell import Cell, drop
from advrush.models.count import parameters
from advrush.models.network import Network
from advrush.models.normalize import Normalized
from advrush.space import PUBLISHED, CellGraph, CellPlan, Genotype, GraphEdge

ADVRUSH = PUBLISHED["ADVRUSH"]
PARAMETERS = {
    "DARTS_V1": 3_169_414,
    "DARTS_V2": 3_349_342,
    "PDARTS": 3_433_798,
    "RACL": 3_571_174,
    "ADVRUSH": 4_158_046,
    "NASNet": 3_830_950,
    "AmoebaNet": 3_145_078,
}
AUXILIARY = {
    "NASNet": 457_994,
    "AmoebaNet": 457_994,
}  # three maps of 144 channels in place of four: 432 x 128 less


def small(genotype: Genotype = ADVRUSH, **options: object) -> Network:
    torch.manual_seed(0)
    settings = {"num_classes": 5, "image_size": 8, "in_channels": 1, **options}
    return Network(genotype, 4, 5, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", PARAMETERS)
def test_published_parameter_counts(name: str) -> None:
    with torch.device("meta"):
        plain = parameters(Network(PUBLISHED[name]))
        both = parameters(Network(PUBLISHED[name], auxiliary=True))
    assert plain == PARAMETERS[name]
    assert both - plain == AUXILIARY.get(name, 476_426)


@pytest.mark.parametrize(("classes", "extra"), [(100, 90), (200, 190)])
def test_classes_change_the_classifier_alone(classes: int, extra: int) -> None:
    with torch.device("meta"):
        assert parameters(Network(ADVRUSH, num_classes=classes)) == PARAMETERS["ADVRUSH"] + 577 * extra


@pytest.mark.parametrize("name", PARAMETERS)
@pytest.mark.parametrize("image_size", [8, 13])
def test_every_genotype_computes_logits_and_reaches_every_parameter(name: str, image_size: int) -> None:
    network = small(PUBLISHED[name], image_size=image_size)
    logits = network(torch.rand(4, 1, image_size, image_size))
    assert logits.shape == (4, 5)
    logits.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_names_are_those_of_the_published_code() -> None:
    names = set(small(auxiliary=True, image_size=32).state_dict())
    assert {
        "stem.0.weight",
        "stem.1.running_mean",
        "cells.0.preprocess0.op.1.weight",
        "cells.0._ops.0.op.1.weight",
        "cells.0._ops.2.op.7.num_batches_tracked",
        "cells.1._ops.2.conv_1.weight",
        "cells.2.preprocess0.conv_2.weight",
        "cells.2.preprocess0.bn.bias",
        "cells.2.preprocess1.op.2.weight",
        "auxiliary_head.features.2.weight",
        "auxiliary_head.features.6.running_var",
        "auxiliary_head.classifier.bias",
        "classifier.weight",
    } <= names
    first = {name.split(".")[0] for name in names}
    assert first == {"stem", "cells", "auxiliary_head", "classifier"}


@pytest.mark.parametrize("image_size", [8, 28, 32, 64])
def test_auxiliary_head_at_every_size(image_size: int) -> None:
    network = small(auxiliary=True, image_size=image_size)
    x = torch.rand(2, 1, image_size, image_size)
    logits, extra = network.eval().forward_with_auxiliary(x)
    assert extra.shape == (2, 5)
    assert torch.equal(logits, network(x))
    corner = x.clone()
    corner[..., -1, -1] += 1
    assert not torch.equal(network.forward_with_auxiliary(corner)[1], extra)
    assert parameters(network) - parameters(small()) == 64 * 128 + 2 * 128 + 4 * 128 * 768 + 2 * 768 + 5 * 769


def test_auxiliary_head_where_there_is_none_or_no_room() -> None:
    with pytest.raises(ConfigError, match="auxiliary"):
        small().forward_with_auxiliary(torch.rand(2, 1, 8, 8))
    with pytest.raises(ConfigError, match="at least 2 x 2"):
        small(auxiliary=True, image_size=4)


def test_drop_path_acts_in_training_alone_and_can_be_set() -> None:
    network, x = small(drop_path=0.5), torch.rand(8, 1, 8, 8)
    assert not torch.equal(network(x), network(x))
    network.drop_path = 0.0
    assert torch.equal(network(x), network(x))
    network.drop_path = 0.5
    network.eval()
    assert torch.equal(network(x), network(x))
    for bad in (-0.1, 1.0):
        with pytest.raises(ConfigError, match="drop_path"):
            network.drop_path = bad


def test_drop_keeps_the_mean_and_drops_whole_examples() -> None:
    torch.manual_seed(0)
    y = drop(torch.ones(4000, 2, 3, 3), 0.25)
    torch.testing.assert_close(y.unique(), torch.tensor([0.0, 4 / 3]))
    assert y.amax(dim=(1, 2, 3)).equal(y.amin(dim=(1, 2, 3)))
    assert y.mean().item() == pytest.approx(1.0, abs=0.05)  # five standard deviations


def cell(edges: tuple[GraphEdge, ...], nodes: int = 1, outputs: tuple[int, ...] = (2,)) -> Cell:
    torch.manual_seed(0)
    return Cell(CellGraph(2, nodes, edges, outputs), CellPlan("normal", 1, False, False), (3, 3), channels=3)


def test_identities_are_exempt_from_drop_path() -> None:
    module = cell((GraphEdge(0, 2, "skip_connect"), GraphEdge(1, 2, "skip_connect")))
    x = torch.rand(6, 3, 4, 4)
    assert torch.equal(module(x, x, drop_path=0.9), module(x, x, drop_path=0.0))


def test_a_cell_sums_what_enters_a_node_and_joins_its_outputs() -> None:
    edges = (GraphEdge(0, 2, "skip_connect"), GraphEdge(1, 2, "avg_pool_3x3"),
             GraphEdge(2, 3, "skip_connect"), GraphEdge(2, 3, "none"))  # fmt: skip
    module = cell(edges, nodes=2, outputs=(3, 2)).eval()
    s0, s1 = torch.rand(2, 3, 4, 4), torch.rand(2, 3, 4, 4)
    node = module.preprocess0(s0) + nn.AvgPool2d(3, 1, 1, count_include_pad=False)(module.preprocess1(s1))
    torch.testing.assert_close(module(s0, s1), torch.cat([node, node], dim=1))
    assert module.channels_out == 6


def test_a_node_that_nothing_enters_is_zero() -> None:
    module = cell((GraphEdge(0, 2, "none"), GraphEdge(1, 2, "none")))
    assert module(torch.rand(2, 3, 4, 4), torch.rand(2, 3, 4, 4)).eq(0).all()


def test_sizes_that_do_not_fit_are_refused() -> None:
    for options, name in [({"num_classes": 1}, "num_classes"), ({"image_size": 0}, "image_size")]:
        with pytest.raises(ConfigError, match=name):
            small(**options)
    with pytest.raises(ConfigError, match="channels"):
        Network(ADVRUSH, 0)
    with pytest.raises(ConfigError, match="layers: got 3; expected 2, one for each graph"):
        Network([ADVRUSH.cells()["normal"]] * 2, 4, 3)


def test_normalized_takes_pixels_and_carries_its_statistics() -> None:
    network = small(auxiliary=True).eval()
    pixels, x = Normalized(network, [0.25], [0.5]), torch.rand(2, 1, 8, 8)
    torch.testing.assert_close(pixels(x), network((x - 0.25) / 0.5))
    torch.testing.assert_close(pixels.forward_with_auxiliary(x)[1], network.forward_with_auxiliary((x - 0.25) / 0.5)[1])
    other = Normalized(small(auxiliary=True), [0.0], [1.0]).eval()
    other.load_state_dict(pixels.state_dict())
    assert torch.equal(other(x), pixels(x))
    assert pixels.double()(x.double()).dtype == torch.float64
    with pytest.raises(ConfigError, match="std"):
        Normalized(network, [0.5], [0.0])
    with pytest.raises(ConfigError, match="mean, std"):
        Normalized(network, [0.5, 0.5], [0.5])
    with pytest.raises(ConfigError, match="auxiliary: got 'Identity'"):
        Normalized(nn.Identity(), [0.5], [0.5]).forward_with_auxiliary(x)


def test_compiling_once_serves_every_drop_path() -> None:
    graphs: list[torch.fx.GraphModule] = []

    def backend(graph: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> Callable[..., object]:
        graphs.append(graph)
        return graph.forward

    network = Network(ADVRUSH, 2, 1, in_channels=1)
    compiled, compilations = torch.compile(network, backend=backend), []
    for step in range(6):
        network.drop_path = 0.05 * step
        assert compiled(torch.rand(4, 1, 8, 8)).isfinite().all()
        compilations.append(len(graphs))
    assert compilations[0] >= 1
    assert set(compilations[1:]) == {compilations[1]}, "the probability is a value, not a constant to compile anew for"
