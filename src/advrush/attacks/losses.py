"""Loss functions that attacks maximize: logits (N, K) and labels (N,) to one value an example, positive on success.

The difference-of-logits ratios are those of Croce and Hein (ICML 2020); where there are too few classes for
their denominators, the plain difference of logits takes their place.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import cross_entropy

TINY = 1e-12


def ce(logits: Tensor, y: Tensor) -> Tensor:
    """Return the cross-entropy (N,)."""
    return cross_entropy(logits, y, reduction="none")


def margin(logits: Tensor, y: Tensor) -> Tensor:
    """Return the largest other logit minus the label's (Carlini and Wagner 2017)."""
    label = logits.gather(1, y[:, None]).squeeze(1)
    others = logits.scatter(1, y[:, None], -float("inf"))
    return others.amax(dim=1) - label


def dlr(logits: Tensor, y: Tensor) -> Tensor:
    """Return (max other - z_y) / (z_(1) - z_(3)), z_(i) the i-th largest; `margin` below 3 classes."""
    if logits.shape[1] < 3:
        return margin(logits, y)
    top, order = logits.topk(3, dim=1)
    label = logits.gather(1, y[:, None]).squeeze(1)
    first = (order[:, 0] == y).to(logits.dtype)
    other = top[:, 1] * first + top[:, 0] * (1.0 - first)
    return -(label - other) / (top[:, 0] - top[:, 2] + TINY)


def targeted_dlr(logits: Tensor, y: Tensor, target: Tensor) -> Tensor:
    """Return -(z_y - z_target) / (z_(1) - (z_(3) + z_(4)) / 2); the bare numerator below 4 classes."""
    label, aim = logits.gather(1, y[:, None]).squeeze(1), logits.gather(1, target[:, None]).squeeze(1)
    if logits.shape[1] < 4:
        return aim - label
    top = logits.topk(4, dim=1).values
    return -(label - aim) / (top[:, 0] - 0.5 * (top[:, 2] + top[:, 3]) + TINY)


def pma(logits: Tensor, y: Tensor) -> Tensor:
    """Return the largest other probability minus the label's, in [-1, 1] (Xie et al., 2024)."""
    return margin(logits.softmax(dim=1), y)


LOSSES = {"ce": ce, "margin": margin, "dlr": dlr, "pma": pma}
ESTIMATES = ("pma",)
"""Losses of which an attack is an estimate of AutoAttack's outcome, and named so wherever it is printed."""
