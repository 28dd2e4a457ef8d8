"""Import a network from a checkpoint; sizes are inferred from the shapes of its tensors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from advrush.models.build import build
from advrush.models.errors import ModelError
from advrush.models.weights.state_dict import AUXILIARY, listed, load_weights, read_state
from advrush.space import DARTS, Space, resolve, space_named
from advrush.space.genotype import Architecture
from advrush.space.space import BlockPlan

LARGEST_DEPTH = 200
"""Cells that a checkpoint is tried with at most."""


@dataclass(frozen=True)
class NetworkSizes:
    """What the shapes of a state dict tell about its network; `layers` is None where the depth is fixed."""

    channels: int
    layers: int | None
    num_classes: int
    in_channels: int
    auxiliary: bool


def import_network(path: Path, arch: str | Architecture, *, image_size: int = 32) -> nn.Module:
    """Build `arch` in the size of the checkpoint at `path` and load its weights by name.

    `arch` is anything that `build` takes. The network takes what the checkpoint's took: wrap it in Normalized
    where that was normalized images. Raises ModelError listing what does not fit, ConfigError for a name.
    """
    state = read_state(path)
    try:
        sizes = layout(state, space=space_of(arch))
        model = build(
            arch,
            num_classes=sizes.num_classes,
            image_size=image_size,
            in_channels=sizes.in_channels,
            channels=sizes.channels,
            layers=sizes.layers,
            auxiliary=sizes.auxiliary,
        )
        load_weights(model, state)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from None
    return model


def space_of(arch: str | Architecture) -> Space:
    """Return the search space of an architecture; that of a plain name is DARTS. GenotypeError for a bad text."""
    found = resolve(arch) if isinstance(arch, str) else arch
    return DARTS if found is None else space_named(found.space)


def layout(state: Mapping[str, Tensor], *, space: Space = DARTS) -> NetworkSizes:
    """Read the sizes off a state dict in the layout of the DARTS code, ResNet-18 or DenseNet-121.

    `space` is that of the cells, if there are any: it tells the width of the stem and which modules are fixed blocks.
    Raises ModelError where the names or shapes are of none of these.
    """
    cells = {int(name.split(".")[1]) for name in state if re.match(r"cells\.\d+\.", name)}
    stem = state.get("stem.0.weight" if cells else "conv1.weight")
    classifier = state.get("classifier.weight" if cells else "linear.weight")
    if stem is None or classifier is None or stem.ndim != 4 or classifier.ndim != 2:
        raise ModelError(
            "weights in an unknown layout; known: stem.0, cells.*, classifier (DARTS), "
            f"conv1, layer*, linear (ResNet-18), conv1, dense*, linear (DenseNet-121); found: {listed(list(state))}"
        )
    widths_in_stem = space.stem_multiplier if cells else 2 if any(name.startswith("dense1.") for name in state) else 1
    return NetworkSizes(
        channels=stem.shape[0] // widths_in_stem,
        layers=_layers(cells, space) if cells else None,
        num_classes=classifier.shape[0],
        in_channels=stem.shape[1],
        auxiliary=any(name.startswith(AUXILIARY) for name in state),
    )


def _layers(present: set[int], space: Space) -> int:
    """Return the number of cells of a network whose modules `present`, by index, have weights.

    Cells may have none (skip connections and pools alone); fixed blocks always do. Raises ModelError where no depth
    fits.
    """
    for layers in range(1, LARGEST_DEPTH):
        plans = space.skeleton(layers)
        blocks = {index for index, plan in enumerate(plans) if isinstance(plan, BlockPlan)}
        if present in (set(range(len(plans))), blocks):
            return layers
    raise ModelError(f"cells {sorted(present)}: no network of the space {space.name!r} has weights in these alone")
