"""Build a network from a name or a genotype."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from torch import nn

from advrush.config import check, did_you_mean
from advrush.errors import ConfigError
from advrush.models.handcrafted import DenseNet, ResNet
from advrush.models.network import Network
from advrush.models.robnet import robnet
from advrush.reading.gate import shown
from advrush.space import resolve
from advrush.space.genotype import PUBLISHED, Architecture

DISPLAY_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "resnet18": "ResNet-18",
        "densenet121": "DenseNet-121",
        "darts_v1": "DARTS (V1)",
        "darts_v2": "DARTS (V2)",
        "pdarts": "PDARTS",
        "racl": "RACL",
        "advrush": "AdvRush",
        "nasnet": "NASNet-A",
        "amoebanet": "AmoebaNet-A",
        "robnet_free": "RobNet-free",
    }
)

ARCHITECTURES: Mapping[str, str] = MappingProxyType(
    {
        "resnet18": "ResNet-18, CIFAR form, 11.2M parameters; channels = width of the first stage (64)",
        "densenet121": "DenseNet-121, CIFAR form, 7.0M parameters; channels = growth (32)",
        "darts_v1": "DARTS cells, first order (ICLR 2019)",
        "darts_v2": "DARTS cells, second order (ICLR 2019)",
        "pdarts": "P-DARTS cells (ICCV 2019)",
        "racl": "RACL cells (2020)",
        "advrush": "AdvRush cells (ICCV 2021)",
        "nasnet": "NASNet-A cells (CVPR 2018) in the DARTS skeleton",
        "amoebanet": "AmoebaNet-A cells (AAAI 2019) in the DARTS skeleton",
        "robnet_free": "RobNet-free (CVPR 2020), 20 cells of its own, 5.4M parameters",
    }
)
"""The names that `build` knows, each with a line of help."""

NO_CELLS = ("resnet18", "densenet121")
"""Networks without cells: no auxiliary head, no drop path."""
FIXED_DEPTH = (*NO_CELLS, "robnet_free")
"""Networks whose depth is part of the architecture."""

_GENOTYPES = {name.lower(): genotype for name, genotype in PUBLISHED.items()}


def build(
    arch: str | Architecture,
    *,
    num_classes: int = 10,
    image_size: int = 32,
    in_channels: int = 3,
    channels: int | None = None,
    layers: int | None = None,
    auxiliary: bool = False,
    drop_path: float = 0.0,
) -> nn.Module:
    """Build a network with fresh weights: (N, in_channels, image_size, image_size) to (N, num_classes).

    `arch` is a name of ARCHITECTURES (case, "-" and "_" do not matter), a genotype, or a genotype's text
    of any search space. `channels` and `layers` default to the published ones: for cells those of their space
    (DARTS: 36 and 20).
    Raises ConfigError for an unknown name or an option that the architecture lacks, GenotypeError for a text.
    """
    common: dict[str, Any] = {"num_classes": num_classes, "in_channels": in_channels}
    cells: dict[str, Any] = {
        "image_size": image_size,
        "auxiliary": auxiliary,
        "drop_path": drop_path,
        **common,
    }
    genotype = arch if not isinstance(arch, str) else _genotype(arch)
    if genotype is not None:
        return Network(genotype, channels, layers, **cells)
    name = canonical(str(arch))
    if name == "robnet_free":
        check(layers in (None, 20), "layers of robnet_free", layers, "20, for each of which it has a cell")
        return robnet(name, channels=_or(channels, 36), **cells)
    check(layers is None, f"layers of {name}", layers, "none: its depth is fixed")
    check(not auxiliary, f"auxiliary of {name}", auxiliary, "False: it has no auxiliary head")
    check(drop_path == 0, f"drop_path of {name}", drop_path, "0: it has no paths to drop")
    if name == "resnet18":
        return ResNet((2, 2, 2, 2), _or(channels, 64), **common)
    return DenseNet((6, 12, 24, 16), _or(channels, 32), **common)


def canonical(name: str) -> str:
    """Return the name of ARCHITECTURES that is meant. Raises ConfigError with a suggestion."""
    plain = {_plain(known): known for known in ARCHITECTURES}
    if _plain(name) not in plain:
        known = f"; known: {', '.join(ARCHITECTURES)}"
        raise ConfigError(f"unknown architecture {shown(name)}{did_you_mean(name, ARCHITECTURES) or known}")
    return plain[_plain(name)]


def is_known(name: str) -> bool:
    """Return whether `name`, in any spelling, is one of ARCHITECTURES."""
    return _plain(name) in {_plain(known) for known in ARCHITECTURES}


def is_architecture(text: str) -> bool:
    """Return whether a text is a name of ARCHITECTURES, or looks like a genotype's of a search space.

    Raises GenotypeError with the place of the mistake where it looks like one and is none.
    """
    return is_known(text) or resolve(text) is not None


def display_name(arch: str | Architecture) -> str:
    """Return the name for tables and figures; "genotype" for one that was not published."""
    if isinstance(arch, str):
        genotype = resolve(arch)
        if genotype is None:
            return DISPLAY_NAMES[canonical(arch)]
        arch = genotype
    for name, published in _GENOTYPES.items():
        if published == arch:
            return DISPLAY_NAMES[name]
    return "genotype"


def _or(value: int | None, default: int) -> int:
    return default if value is None else value


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


def _genotype(arch: str) -> Architecture | None:
    return resolve(arch) or _GENOTYPES.get(canonical(arch))
