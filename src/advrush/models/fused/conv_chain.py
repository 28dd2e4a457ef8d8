"""A primitive read as what it computes: a feature of its source, then stages of convolutions and batch norm."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from advrush.space.operations import FactorizedReduce

Feature = nn.ReLU | nn.MaxPool2d | nn.AvgPool2d


@dataclass(frozen=True, eq=False)
class Stage:
    """Convolutions, then batch norm: affine in its input once the statistics are fixed."""

    layers: tuple[nn.Conv2d | FactorizedReduce, ...]
    norm: nn.BatchNorm2d


@dataclass(frozen=True, eq=False)
class Chain:
    """`stages` with a ReLU between each two, applied to the source itself (None), its ReLU or its pooled map.

    No stage at all is the identity. Of a `FactorizedReduce` in a stage the two convolutions alone are meant.
    """

    feature: Feature | None
    stages: tuple[Stage, ...]

    @property
    def key(self) -> tuple[object, ...]:
        """Return what tells one feature of a source from another."""
        f = self.feature
        pool = (f.kernel_size, f.stride, f.padding) if isinstance(f, nn.MaxPool2d | nn.AvgPool2d) else ()
        return (type(f), *pool)


def read_chain(module: nn.Module) -> Chain | None:
    """Return the chain that `module` computes, or None where it is not built in this way."""
    feature: Feature | None = None
    layers: list[nn.Conv2d | FactorizedReduce] = []
    stages: list[Stage] = []
    closed = False  # between the norm of a stage and the ReLU that must come before the next one
    for index, part in enumerate(_parts(module)):
        if isinstance(part, Feature) and index == 0:
            feature = part
        elif isinstance(part, nn.ReLU) and closed:
            closed = False
        elif isinstance(part, nn.Conv2d | FactorizedReduce) and not closed:
            layers.append(part)
        elif isinstance(part, nn.BatchNorm2d) and not closed:
            stages.append(Stage(tuple(layers), part))
            layers, closed = [], True
        else:
            return None
    whole = closed or (not layers and not stages)
    return Chain(feature, tuple(stages)) if whole else None


def _parts(module: nn.Module) -> Iterator[nn.Module]:
    """Yield the layers of a primitive in the order in which they run."""
    if isinstance(module, FactorizedReduce):
        yield from (module.relu, module, module.bn)
    elif isinstance(module, nn.Sequential):
        yield from module
    elif isinstance(getattr(module, "op", None), nn.Sequential):
        yield from module.op  # type: ignore[misc]
    elif not isinstance(module, nn.Identity):
        yield module
