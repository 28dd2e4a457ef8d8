"""Targets of attacks: the class that each example is to be taken for, and the losses that lead there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn

from advrush.attacks.losses import ce, margin, pma, targeted_dlr
from advrush.attacks.passes.chunks import predict
from advrush.attacks.passes.fast_model import exact_model
from advrush.config import check
from advrush.errors import DataError, ModelContractError, kind_of

Target = Literal["least-likely", "next"] | int
"""The class with the smallest logit, the class after the label (the first after the last), or one class for all."""

PairLoss = Callable[[Tensor, Tensor], Tensor]
"""From logits (N, K) and pairs (N, 2) of label and target to what is maximized (N,)."""

TOWARDS: dict[str, PairLoss] = {
    "ce": lambda logits, pair: -ce(logits, pair[:, 1]),
    "margin": lambda logits, pair: -margin(logits, pair[:, 1]),
    "dlr": lambda logits, pair: targeted_dlr(logits, pair[:, 0], pair[:, 1]),
    "pma": lambda logits, pair: -pma(logits, pair[:, 1]),
}
"""The losses of targeted attacks by the names of the untargeted ones: largest where the target's logit leads."""


def check_target(value: Target | None) -> None:
    """Raise ConfigError unless the value is a target, or None for an untargeted attack."""
    number = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    check(
        value is None or value in ("least-likely", "next") or number,
        "target", value, "least-likely, next, the number of a class (from 0 on), or None for none",
    )  # fmt: skip


def target_suffix(value: Target | None) -> str:
    """Return what a target adds to an attack's name: "", "_to_next", "_to_3"."""
    return "" if value is None else f"_to_{str(value).replace('-', '_')}"


def check_targets(targets: Any, y: Tensor) -> Tensor:
    """Return one target for each example (N,), int64. Raises DataError for another shape or type, or for labels."""
    if not isinstance(targets, Tensor) or targets.is_floating_point() or targets.dtype == torch.bool:
        kind = targets.dtype if isinstance(targets, Tensor) else kind_of(targets)
        raise DataError(f"targets: got {kind}; expected whole numbers, one class index for each image")
    if targets.shape != y.shape:
        raise DataError(f"targets: got shape {tuple(targets.shape)}; expected ({len(y)},), one for each image")
    found: Tensor = targets.to(y.device, torch.int64)
    if len(y) and int(found.amin()) < 0:
        raise DataError(f"targets: got {int(found.amin())}; expected class indices from 0 on")
    if same := int((found == y).sum()):
        raise DataError(f"targets: {same} of {len(y)} are the image's own label; expected another class")
    return found


def targets_of(value: Target | None, given: Tensor | None, model: nn.Module, x: Tensor, y: Tensor) -> Tensor | None:
    """Return the targets (N,) that were given, else those that `value` names; None for an untargeted attack.

    A target is an example's own label where one class is named for all. Raises ModelContractError for a class that
    the model does not know.
    """
    if given is None and value is None:
        return None
    logits = predict(exact_model(model), x)
    classes = logits.shape[1]
    if given is None and value == "least-likely":
        return least_likely(logits, y)
    if given is None:
        given = (y + 1) % classes if value == "next" else torch.full_like(y, int(value or 0))
    if len(given) and (most := int(given.amax())) >= classes:
        raise ModelContractError(f"target: got {most}; the model tells {classes} classes, 0 to {classes - 1}")
    return given


def least_likely(logits: Tensor, y: Tensor) -> Tensor:
    """Return the class (N,) with the smallest logit (N, K), the label left out."""
    others: Tensor = logits.scatter(1, y[:, None], torch.inf)
    return others.argmin(dim=1)


def pairs(y: Tensor, targets: Tensor) -> Tensor:
    """Return labels and targets (N, 2), as the losses of TOWARDS take them."""
    return torch.stack([y, targets], dim=1)
