"""One primitive with fixed batch norm linearized at x: forward value, JVP and VJP."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from advrush.kernels.inner_product import inner_product
from advrush.models.linearized.activations import LinearizedFeature, LinearizedReLU
from advrush.models.linearized.affine import Affine


class LinearizedPrimitive:
    """The affine maps `stages` with a ReLU between each two, applied to the value of `feature`.

    Args:
        stages: the maps.
        feature: what the first of them reads.
        whole: whether the feature is part of the primitive: tangents and cotangents are then those of the feature's
            input, and a ReLU's mask is applied where the first map reads or writes. Otherwise they are the feature's.
    """

    def __init__(self, stages: Sequence[Affine], feature: LinearizedFeature, *, whole: bool = False) -> None:
        self.stages, self.feature = stages, feature
        self._masked_first = whole and bool(stages) and isinstance(feature, LinearizedReLU)
        self._before = feature if whole and not self._masked_first else None
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
        """Return J t for a tangent t."""
        t = t if self._before is None else self._before.jvp(t)
        for i, stage in enumerate(self.stages):
            t = stage.jvp(t, self._mask(i))
        return t

    def vjp(self, c: Tensor, total: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Return J^T c and, if c's sum over all pixels (C,) is given, <c, value>.

        The inner product is <A^T c, x> + <c, b> with the last stage A x + b: its output need not be kept for it.
        """
        product, q = None, c
        if not self.stages:
            product = None if total is None else inner_product(c, self.feature.value)
        for i in reversed(range(len(self.stages))):
            x = self._input(i)
            q = self.stages[i].vjp(q, (x.shape[2], x.shape[3]), self._mask(i))
            if total is not None and i == len(self.stages) - 1:
                # masked already: where the value x of the ReLU before is zero, <., x> has no term
                product = inner_product(q, x) + torch.dot(total, self.stages[i].bias)
        return (q if self._before is None else self._before.vjp(q)), product

    def _mask(self, stage: int) -> Tensor | None:
        """Return the value of the ReLU before the stage of this number, None where there is none to apply."""
        return self._input(stage) if stage or self._masked_first else None

    def _input(self, stage: int) -> Tensor:
        """Return what the stage of this number (-1: the last) reads."""
        before = stage if stage >= 0 else len(self._masks)
        return self._masks[before - 1].value if before else self.feature.value
