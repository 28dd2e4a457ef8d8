"""Parse a primitive as a chain: ReLU or pooling, then convolutions and batch norms."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

from torch import Tensor, nn

from advrush.space.operations import DilConv, FactorizedReduce, PointwiseConv, ReLUConvBN, SepConv, SumOfBranches

Feature = nn.ReLU | nn.MaxPool2d | nn.AvgPool2d


@dataclass(frozen=True, eq=False)
class Stage:
    """Convolutions, then batch norm (None: without it): affine in its input once the statistics are fixed."""

    layers: tuple[nn.Conv2d | FactorizedReduce, ...]
    norm: nn.BatchNorm2d | None


@dataclass(frozen=True, eq=False)
class Chain:
    """`stages` with a ReLU between each two, applied to the source itself (None), its ReLU or its pooled map.

    No stage at all is the feature alone. Of a `FactorizedReduce` in a stage the two convolutions alone are meant.
    """

    feature: Feature | None
    stages: tuple[Stage, ...]

    @property
    def key(self) -> tuple[object, ...]:
        """Return what tells one feature of a source from another."""
        match self.feature:
            case nn.MaxPool2d() as pool:
                return (nn.MaxPool2d, pool.kernel_size, pool.stride, pool.padding, pool.dilation, pool.ceil_mode)
            case nn.AvgPool2d() as pool:
                window = (pool.kernel_size, pool.stride, pool.padding, pool.ceil_mode)
                return (nn.AvgPool2d, *window, pool.count_include_pad, pool.divisor_override)
            case feature:
                return (type(feature),)


def read_chain(module: nn.Module) -> Chain | None:
    """Return the chain that `module` computes, or None where it is not built in this way.

    Layers are recognized by their exact class: a subclass may compute something else.
    """
    feature: Feature | None = None
    layers: list[nn.Conv2d | FactorizedReduce] = []
    stages: list[Stage] = []
    closed = False  # between the norm of a stage and the ReLU that must come before the next one
    for index, part in enumerate(_parts(module)):
        if index == 0 and _is_feature(part):
            feature = cast(Feature, part)
        elif type(part) is nn.ReLU and closed:
            closed = False
        elif type(part) is nn.ReLU and layers:
            stages.append(Stage(tuple(layers), None))
            layers = []
        elif type(part) in (nn.Conv2d, PointwiseConv, FactorizedReduce) and not closed:
            layers.append(cast("nn.Conv2d | FactorizedReduce", part))
        elif isinstance(part, nn.BatchNorm2d) and not closed:
            stages.append(Stage(tuple(layers), part))
            layers, closed = [], True
        else:
            return None
    if layers:
        stages.append(Stage(tuple(layers), None))
        closed = True
    whole = closed or not stages
    return Chain(feature, tuple(stages)) if whole else None


def read_branches(module: nn.Module) -> list[Chain] | None:
    """Return the chains whose sum `module` computes, or None where it is not built in this way."""
    parts = list(module.branches) if type(module) is SumOfBranches else [module]
    chains = [read_chain(part) for part in parts]
    return None if any(chain is None for chain in chains) else [chain for chain in chains if chain is not None]


def is_linear_given_statistics(chain: Chain) -> bool:
    """Return whether a folded batch norm and bias-free, zero-padded convolutions are all that the stages hold."""
    layers = [layer for stage in chain.stages for layer in stage.layers if isinstance(layer, nn.Conv2d)]
    plain = all(
        layer.bias is None and layer.padding_mode == "zeros" and not isinstance(layer.padding, str) for layer in layers
    )
    return plain and all(s.norm is None or isinstance(s.norm.running_mean, Tensor) for s in chain.stages)


def _is_feature(part: nn.Module) -> bool:
    """Return whether the fused forward computes `part` as a feature: out of place, one output."""
    if type(part) is nn.MaxPool2d:
        return not part.return_indices
    return type(part) is nn.AvgPool2d or (type(part) is nn.ReLU and not part.inplace)


def _parts(module: nn.Module) -> Iterator[nn.Module]:
    """Yield the layers of a primitive in the order in which they run."""
    if type(module) is FactorizedReduce:
        yield from (module.relu, module, module.bn)
    elif type(module) is nn.Sequential:
        for part in module:
            yield from _parts(part)
    elif type(module) in (ReLUConvBN, SepConv, DilConv):
        yield from cast(nn.Sequential, module.op)
    elif type(module) is not nn.Identity:
        yield module
