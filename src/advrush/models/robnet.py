"""RobNet: the DARTS skeleton with a graph of its own for each of its cells, every edge kept."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import resources

from advrush.config import MOST_CHANNELS, check_between, did_you_mean
from advrush.errors import ConfigError, GenotypeError
from advrush.models.network import Network
from advrush.space.darts import TOPOLOGY
from advrush.space.genotype import CellGraph, GraphEdge

CODES: dict[str, tuple[str, ...]] = {
    "00": ("none",),
    "01": ("sep_conv_3x3",),
    "10": ("skip_connect",),
    "11": ("sep_conv_3x3", "skip_connect"),
}
"""The primitives that an edge's two-bit code puts beside each other."""


def graph(codes: Sequence[str]) -> CellGraph:
    """Return the cell of 14 two-bit codes, in DARTS order. Raises GenotypeError, naming the edge."""
    if len(codes) != len(TOPOLOGY.edges):
        raise GenotypeError(f"cell: got {len(codes)} codes; expected {len(TOPOLOGY.edges)}")
    edges = []
    for index, (code, (source, target)) in enumerate(zip(codes, TOPOLOGY.edges, strict=True)):
        if code not in CODES:
            raise GenotypeError(f"cell edge {index}: got code {code!r}; expected {', '.join(CODES)}")
        edges += [GraphEdge(source, target, primitive) for primitive in CODES[code]]
    return CellGraph(TOPOLOGY.inputs, TOPOLOGY.nodes, tuple(edges), TOPOLOGY.outputs)


def robnet(
    name: str = "robnet_free",
    *,
    num_classes: int = 10,
    image_size: int = 32,
    in_channels: int = 3,
    channels: int = 36,
    auxiliary: bool = False,
    drop_path: float = 0.0,
) -> Network:
    """Build a published RobNet (Guo et al., CVPR 2020); its batch norms have no affine part, as published.

    The number of layers is that of the codes: 20. Raises ConfigError for an unknown name.
    """
    text = resources.files("advrush.models").joinpath("robnet_codes.json").read_text(encoding="utf-8")
    published = {key: rows for key, rows in json.loads(text).items() if key != "source"}
    if name not in published:
        raise ConfigError(f"unknown RobNet {name!r}{did_you_mean(name, published)}")
    check_between("channels", channels, MOST_CHANNELS)
    graphs = [graph(row.split()) for row in published[name]]
    return Network(
        graphs,
        channels,
        len(graphs),
        num_classes=num_classes,
        image_size=image_size,
        in_channels=in_channels,
        auxiliary=auxiliary,
        drop_path=drop_path,
        affine=False,
    )
