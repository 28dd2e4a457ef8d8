"""A cell's state with its ReLU and pooled maps, each computed once for all edges."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import relu

from advrush.kernels.avg_pool import averaged
from advrush.models.fused.conv_chain import Chain
from advrush.models.fused.layers import even_and_odd


class Source:
    """A state x (N, C, H, W) and its ReLU and pooled maps, under autograd."""

    def __init__(self, x: Tensor) -> None:
        self.x = x
        self._features: dict[object, Tensor] = {}
        self._halves: dict[object, tuple[Tensor, Tensor]] = {}

    def feature(self, chain: Chain) -> Tensor:
        """Return what `chain` begins with."""
        if chain.key not in self._features:
            self._features[chain.key] = self._compute(chain)
        return self._features[chain.key]

    def halves(self, chain: Chain) -> tuple[Tensor, Tensor]:
        """Return the even and the odd pixels of what `chain` begins with."""
        if chain.key not in self._halves:
            self._halves[chain.key] = even_and_odd(self.feature(chain))
        return self._halves[chain.key]

    def _compute(self, chain: Chain) -> Tensor:
        match chain.feature:
            case None:
                return self.x
            case nn.ReLU():
                return relu(self.x)
            case nn.AvgPool2d() as pool:
                return averaged(pool, self.x)
            case pool:
                return pool(self.x)  # type: ignore[no-any-return]
