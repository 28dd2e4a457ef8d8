"""Run attacks on a faster copy of a model (precision, compiled, BN folded); verify successes on the original."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, cast

import torch
from torch import Tensor, nn

from advrush.attacks.passes.classes import largest
from advrush.attacks.passes.fold_batch_norm import folded
from advrush.attacks.passes.memory import most_at_once
from advrush.out_of_memory import is_out_of_memory

PROBES = 16
"""Examples on which a folded network is held against the plain one."""


class FastModel(nn.Module):
    """A model computed faster, in another layout or precision or with folded norms; `exact_model` gives the plain one.

    Attacks given such a model search on the fast passes. What they find counts only where the plain network is
    wrong too, and an example that turns out unbroken is attacked once more on the plain network: so each example
    counted as broken is broken in full precision.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        dtype: torch.dtype = torch.float32,
        compile: bool = False,
        channels_last: bool = False,
        fold: bool = False,
    ) -> None:
        """Wrap `model`.

        Args:
            model: maps [0, 1] pixels (N, C, H, W) to logits (N, K).
            dtype: torch.float32, or the type that autocast computes in: torch.bfloat16 or torch.float16.
            compile: whether torch.compile makes the passes, forward and backward.
            channels_last: whether images pass in the channels_last layout, the quicker one for convolutions; logits
                then differ by rounding.
            fold: whether batch norms are folded into the convolutions before them, with the weights of the first pass
                in eval mode; logits then differ by rounding. A model where that cannot be done is left as it is, and
                one that is compiled.
        """
        super().__init__()
        self.exact = _Exact(model)
        self.network = cast(nn.Module, torch.compile(model)) if compile else model
        self.dtype = dtype
        self.layout = torch.channels_last if channels_last else torch.preserve_format
        self.folded: nn.Module | None = None
        self._folds = self._may_fold = fold and not compile

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (N, K) in x's type."""
        if self._folds and not self.network.training:
            self._folds, self.folded = False, folded(self.network, x[:PROBES].detach())
        network = self.network if self.network.training or self.folded is None else self.folded
        low = self.dtype != torch.float32
        # entering the context takes longer than a small layer
        changes = low or torch.is_autocast_enabled(x.device.type)
        with torch.autocast(x.device.type, dtype=self.dtype, enabled=low) if changes else nullcontext():
            logits: Tensor = in_layout(self.layout, network, x, otherwise=self._keep_plain)
        return logits.to(x.dtype)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> FastModel:
        """Move to another device or type, where the network is folded again."""
        self.folded, self._folds = None, self._may_fold
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    def laid_out(self, x: Tensor) -> Tensor:
        """Return images (N, C, H, W) in the layout in which they pass: an attack that keeps it copies none of them."""
        return x.to(memory_format=self.layout) if x.dim() == 4 else x

    def _keep_plain(self) -> None:
        self.layout = torch.contiguous_format


def in_layout(
    layout: torch.memory_format,
    function: Callable[..., Tensor],
    *images: Tensor,
    otherwise: Callable[[], None] = lambda: None,
) -> Tensor:
    """Return the function of images (N, C, H, W) in a layout; where it cannot be had, in their own, after `otherwise`.

    A model that flattens with `view` takes no other layout than the plain one, and says so with a RuntimeError.
    """
    try:
        return function(*(each.to(memory_format=layout) for each in images))
    except RuntimeError as error:
        if layout is not torch.channels_last or is_out_of_memory(error):
            raise
    otherwise()
    return function(*(each.contiguous() for each in images))


class _Exact(nn.Module):
    """Wraps the original model so that its forward passes can be counted separately."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, *inputs: Any) -> Tensor:
        logits: Tensor = self.model(*inputs)
        return logits


def exact_model(model: nn.Module) -> nn.Module:
    """Return the model that decides whether an example is broken: the plain one behind a `FastModel`, else itself."""
    return model.exact if isinstance(model, FastModel) else model


def correct(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Return True (N,) where the largest logit of the exact model is the label's.

    Raises ModelContractError for logits that are not finite.
    """
    exact, most = exact_model(model), most_at_once()
    with torch.no_grad():
        parts = [x] if most is None or not len(x) else x.split(most)  # type: ignore[no-untyped-call]
        return torch.cat([largest(exact(part)) for part in parts]) == y
