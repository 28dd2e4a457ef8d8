"""A chain at a point: value, tangent and cotangent of one primitive whose batch norm is fixed."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from advrush.models.linearized.activations import FeatureAt, ReluAt
from advrush.models.linearized.affine import Affine


class Branch:
    """The affine maps `stages` with a ReLU between each two, at the value of `feature`."""

    def __init__(self, stages: Sequence[Affine], feature: FeatureAt) -> None:
        self.stages, self.feature = stages, feature
        self._kinks: list[ReluAt] = []

    def value(self) -> Tensor:
        """Return the value and remember which units are on."""
        y = self.feature.value
        for stage in self.stages[:-1]:
            kink = ReluAt(stage(y), inplace=True)
            self._kinks.append(kink)
            y = kink.value
        return self.stages[-1](y) if self.stages else y

    def tangent(self, t: Tensor) -> Tensor:
        """Return the derivative applied to the feature's tangent t."""
        for stage, kink in zip(self.stages, self._kinks, strict=False):
            t = kink.tangent(stage.linear(t))
        return self.stages[-1].linear(t) if self.stages else t

    def transpose(self, c: Tensor, total: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Return the cotangent of the feature and, if c's sum over all pixels (C,) is given, <c, value>."""
        if not self.stages:
            return c, None if total is None else dot(c, self.feature.value)
        q = self.stages[-1].transpose(c)
        slope = None
        if total is not None:
            x = self._kinks[-1].value if self._kinks else self.feature.value
            slope = dot(q, x) + torch.dot(total, self.stages[-1].bias)
        for stage, kink in zip(reversed(self.stages[:-1]), reversed(self._kinks), strict=True):
            q = stage.transpose(kink.transpose(q))
        return q, slope


def dot(a: Tensor, b: Tensor) -> Tensor:
    """Return the inner product of two maps (N, C, H, W)."""
    return torch.dot(a.permute(0, 2, 3, 1).reshape(-1), b.permute(0, 2, 3, 1).reshape(-1))
