"""A primitive of an edge, linearized, with the edge's weight: value, JVP and VJP are added to the states'."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from advrush.kernels import native
from advrush.kernels import separable_chain as kernel
from advrush.kernels.inner_product import inner_product
from advrush.kernels.native_norm import channel_sums, combine
from advrush.models.linearized.activations import LinearizedFeature, LinearizedReLU
from advrush.models.linearized.affine import Affine
from advrush.models.linearized.primitive import LinearizedPrimitive


class LinearizedTerm(ABC):
    """`weight * f` for a primitive f linearized at x.

    Where `includes_feature`, f is a function of the state; otherwise of the feature with which f begins, which the
    cell computes once for all terms.
    """

    includes_feature: bool

    @abstractmethod
    def add_jvp(self, t: Tensor, target: Tensor | None, cotangent: Tensor) -> tuple[Tensor, Tensor]:
        """Return target + weight * J t, and <cotangent, J t>, the weight's derivative. `target` is overwritten."""

    @abstractmethod
    def add_vjp(self, c: Tensor, source: Tensor | None, total: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Return source + weight * J^T c and, if c's sum over all pixels (C,) is given, <c, f>.

        `source` is overwritten.
        """


def linearize_term(
    stages: Sequence[Affine], feature: LinearizedFeature, weight: Tensor, target: Tensor | None
) -> tuple[LinearizedTerm, Tensor]:
    """Return `weight * f`, f being the `stages` with ReLUs between them after `feature`, and target + weight * f.

    weight is a scalar; `target` is overwritten.
    """
    if _Scaled.applies(stages, feature, weight, target):
        term = _Scaled(stages, feature, weight)
        return term, term.add_value(target)
    links = [link for stage in stages if (link := stage.link()) is not None]
    maps = [feature.value] if target is None else [feature.value, target]
    alike = all(each.dtype == feature.value.dtype for each in (weight, *(link.depthwise for link in links)))
    if links and len(links) == len(stages) and alike and native.applies(*maps):
        return _Compiled.at(links, feature, weight, target)
    general = _General(LinearizedPrimitive(stages, feature), weight)
    return general, _add(target, general.primitive.value(), weight)


class _General(LinearizedTerm):
    """Any primitive, by the library's operations."""

    includes_feature = False

    def __init__(self, primitive: LinearizedPrimitive, weight: Tensor) -> None:
        self.primitive, self.weight = primitive, weight

    def add_jvp(self, t: Tensor, target: Tensor | None, cotangent: Tensor) -> tuple[Tensor, Tensor]:
        y = self.primitive.jvp(t)
        return _add(target, y, self.weight), inner_product(cotangent, y)

    def add_vjp(self, c: Tensor, source: Tensor | None, total: Tensor | None) -> tuple[Tensor, Tensor | None]:
        q, along = self.primitive.vjp(c, total)
        return _add(source, q, self.weight), along


class _Scaled(LinearizedTerm):
    """A feature alone, or its batch norm: a scale and a shift of each channel, by the compiled passes of batch norm."""

    includes_feature = False

    def __init__(self, stages: Sequence[Affine], feature: LinearizedFeature, weight: Tensor) -> None:
        self.x = feature.value
        scale = stages[0].scale if stages else self.x.new_ones(self.x.shape[1])
        assert scale is not None, "see applies"
        self.scale, self.none = scale, torch.zeros_like(scale)
        self.shift = stages[0].bias if stages else self.none
        self.weight, self.factor = weight, scale * weight

    @staticmethod
    def applies(stages: Sequence[Affine], feature: LinearizedFeature, weight: Tensor, target: Tensor | None) -> bool:
        """Return whether a term is of this kind."""
        maps = [feature.value] if target is None else [feature.value, target]
        if len(stages) > 1 or (stages and (stages[0].scale is None or stages[0].scale.dtype != weight.dtype)):
            return False
        return weight.dtype == feature.value.dtype and native.applies(*maps)

    def add_value(self, target: Tensor | None) -> Tensor:
        """Return target + weight * value."""
        return self._combined(self.x, target, self.shift * self.weight)

    def add_jvp(self, t: Tensor, target: Tensor | None, cotangent: Tensor) -> tuple[Tensor, Tensor]:
        t = native.laid_out(t)
        along = (channel_sums(cotangent, t)[1] * self.scale).sum().to(t.dtype)
        return self._combined(t, target, self.none), along

    def add_vjp(self, c: Tensor, source: Tensor | None, total: Tensor | None) -> tuple[Tensor, Tensor | None]:
        c, along = native.laid_out(c), None
        if total is not None:
            along = ((channel_sums(c, self.x)[1] * self.scale).sum() + torch.dot(total, self.shift)).to(c.dtype)
        return self._combined(c, source, self.none), along

    def _combined(self, x: Tensor, to: Tensor | None, shift: Tensor) -> Tensor:
        return combine(x, self.factor, shift, to, out=torch.empty_like(x) if to is None else to)


class _Compiled(LinearizedTerm):
    """A chain of separable convolutions, by the compiled kernels."""

    def __init__(self, links: list[kernel.Link], feature: LinearizedFeature, weight: Tensor) -> None:
        self.links, self.weight, self.x = links, weight, feature.value
        self.includes_feature = isinstance(feature, LinearizedReLU)
        self.mask = feature.value if self.includes_feature else None

    @classmethod
    def at(
        cls, links: list[kernel.Link], feature: LinearizedFeature, weight: Tensor, target: Tensor | None
    ) -> tuple[_Compiled, Tensor]:
        """Return the term and target + weight * value."""
        x = feature.value
        *inner, last = kernel.output_maps(x, links) if target is None else [*kernel.output_maps(x, links[:-1]), target]
        links = [link._replace(z=z) for link, z in zip(links, [*inner, None], strict=True)]
        kernel.linear_value(x, links, weight, last, add=target is not None)
        return cls(links, feature, weight), last

    def add_jvp(self, t: Tensor, target: Tensor | None, cotangent: Tensor) -> tuple[Tensor, Tensor]:
        y = torch.empty_like(cotangent) if target is None else target
        along = t.new_empty(())
        kernel.linear_jvp(
            t, self.links, self.weight, y,
            add=target is not None, mask=self.mask, cotangent=cotangent, along=along,
        )  # fmt: skip
        return y, along

    def add_vjp(self, c: Tensor, source: Tensor | None, total: Tensor | None) -> tuple[Tensor, Tensor | None]:
        dx = torch.empty_like(self.x) if source is None else source
        along = None if total is None else c.new_empty(())
        kernel.linear_vjp(
            c, self.links, self.weight, dx,
            add=source is not None, x=self.x, mask=self.mask, total=total, along=along,
        )  # fmt: skip
        return dx, along


def _add(total: Tensor | None, y: Tensor, weight: Tensor) -> Tensor:
    return native.laid_out(y * weight) if total is None else total.addcmul_(y, weight)
