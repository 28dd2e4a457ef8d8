"""A fixed block with fixed batch norm linearized at x: forward value, JVP and VJP of a sum of chains."""

from __future__ import annotations

from torch import Tensor, nn

from advrush.models.fused.conv_chain import read_branches
from advrush.models.linearized.activations import LinearizedFeature, linearize
from advrush.models.linearized.affine import fold
from advrush.models.linearized.primitive import LinearizedPrimitive


class FoldedBlock:
    """The weights of a block with its batch norms folded in. `module` must be a sum of chains (`read_branches`)."""

    def __init__(self, module: nn.Module) -> None:
        chains = read_branches(module)
        assert chains is not None, "see is_supported"
        self.branches = [(chain, fold(chain.stages)) for chain in chains]


class LinearizedBlock:
    """A folded block linearized at x (N, C, H, W)."""

    def __init__(self, block: FoldedBlock, x: Tensor) -> None:
        features: dict[object, LinearizedFeature] = {}
        self._branches = []
        for chain, stages in block.branches:
            if chain.key not in features:
                features[chain.key] = linearize(chain.feature, x)
            self._branches.append(LinearizedPrimitive(stages, features[chain.key]))

    def value(self) -> Tensor:
        """Return the output at x."""
        return _sum([branch.value() for branch in self._branches])

    def jvp(self, t: Tensor) -> Tensor:
        """Return J t for a tangent t of the shape of x."""
        return _sum([branch.jvp(branch.feature.jvp(t)) for branch in self._branches])

    def vjp(self, c: Tensor) -> Tensor:
        """Return J^T c for a cotangent c of the shape of the output."""
        return _sum([branch.feature.vjp(branch.vjp(c)[0]) for branch in self._branches])


def _sum(terms: list[Tensor]) -> Tensor:
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total
