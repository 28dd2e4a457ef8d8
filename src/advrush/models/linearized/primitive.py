"""One primitive with fixed batch norm linearized at x: forward value, JVP and VJP."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from advrush.models.linearized.activations import LinearizedFeature, LinearizedReLU
from advrush.models.linearized.affine import Affine


class LinearizedPrimitive:
    """The affine maps `stages` with a ReLU between each two, applied to the value of `feature`."""

    def __init__(self, stages: Sequence[Affine], feature: LinearizedFeature) -> None:
        self.stages, self.feature = stages, feature
        self._masks: list[LinearizedReLU] = []
        y = feature.value
        for stage in stages[:-1]:
            self._masks.append(LinearizedReLU(stage(y), inplace=True))
            y = self._masks[-1].value

    def value(self) -> Tensor:
        """Return the output; the last stage is computed here, its result is not kept."""
        y = self._input(-1)
        return self.stages[-1](y) if self.stages else y

    def jvp(self, t: Tensor) -> Tensor:
        """Return J t for a tangent t of the feature."""
        for i, stage in enumerate(self.stages):
            t = stage.jvp(t, self._masks[i - 1].value if i else None)
        return t

    def vjp(self, c: Tensor, total: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Return J^T c, the cotangent of the feature, and, if c's sum over all pixels (C,) is given, <c, value>.

        The inner product is <A^T c, x> + <c, b> with the last stage A x + b: its output need not be kept for it.
        """
        if not self.stages:
            return c, None if total is None else dot(c, self.feature.value)
        x = self._input(-1)
        # masked already: where the value x of the ReLU before is zero, <., x> has no term
        q = self.stages[-1].vjp(c, (x.shape[2], x.shape[3]), self._mask(-1))
        product = None if total is None else dot(q, x) + torch.dot(total, self.stages[-1].bias)
        for i in reversed(range(len(self._masks))):
            x = self._input(i)
            q = self.stages[i].vjp(q, (x.shape[2], x.shape[3]), self._mask(i))
        return q, product

    def _mask(self, stage: int) -> Tensor | None:
        """Return the value of the ReLU before the stage of this number (-1: the last), None before the first."""
        before = stage if stage >= 0 else len(self._masks)
        return self._masks[before - 1].value if before else None

    def _input(self, stage: int) -> Tensor:
        """Return what the stage of this number (-1: the last) reads."""
        before = stage if stage >= 0 else len(self._masks)
        return self._masks[before - 1].value if before else self.feature.value


def dot(a: Tensor, b: Tensor) -> Tensor:
    """Return the inner product of two maps (N, C, H, W)."""
    return torch.dot(a.permute(0, 2, 3, 1).reshape(-1), b.permute(0, 2, 3, 1).reshape(-1))
