"""A fixed block linearized at x: forward value, JVP and VJP of a sum of chains whose batch norm is fixed."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from advrush.models.fused.conv_chain import read_branches
from advrush.models.linearized.activations import FeatureAt, feature_at
from advrush.models.linearized.affine import fold
from advrush.models.linearized.primitive import Branch


class FoldedBlock:
    """The weights of a block with its batch norms folded in. `module` must be a sum of chains (`read_branches`)."""

    def __init__(self, module: nn.Module) -> None:
        chains = read_branches(module)
        assert chains is not None, "see is_supported"
        self.branches = [(chain, fold(chain.stages)) for chain in chains]


class BlockAt:
    """A folded block at the last of the states that it may read."""

    def __init__(self, block: FoldedBlock, inputs: Sequence[Tensor]) -> None:
        features: dict[object, FeatureAt] = {}
        self._branches = []
        for chain, stages in block.branches:
            if chain.key not in features:
                features[chain.key] = feature_at(chain.feature, inputs[-1])
            self._branches.append(Branch(stages, features[chain.key]))
        self.output = _sum([branch.value() for branch in self._branches])

    def tangent(self, inputs: Sequence[Tensor]) -> Tensor:
        """Return the JVP for the tangents of the states."""
        return _sum([branch.tangent(branch.feature.tangent(inputs[-1])) for branch in self._branches])

    def transpose(self, c: Tensor) -> Tensor:
        """Return the VJP for c, the cotangent of the output: the cotangent of the last state."""
        return _sum([branch.feature.transpose(branch.transpose(c)[0]) for branch in self._branches])


def _sum(terms: list[Tensor]) -> Tensor:
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total
