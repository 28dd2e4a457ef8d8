"""The largest loss that PGD finds in an Linf ball, over all of its steps and starts."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from advrush.attacks.gate import check_images, check_labels
from advrush.attacks.pgd import loss_gradient
from advrush.attacks.threat import Linf
from advrush.config import check
from advrush.curvature import summed_cross_entropy
from advrush.modes import evaluating, frozen


@dataclass(frozen=True, eq=False)
class LargestLoss:
    """Of N images: the loss without attack, the largest found, and whether each image is right without and with it."""

    clean: Tensor
    largest: Tensor
    correct: Tensor
    robust: Tensor


def largest_loss(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    eps: float = 0.031,
    steps: int = 20,
    restarts: int = 1,
    batch_size: int = 100,
    seed: int = 0,
) -> LargestLoss:
    """Return an estimate from below of `max over ||d|| <= eps of cross_entropy(f(x + d), y)`.

    Steps of eps / 4 along the gradient's sign, from random starts; every point on the way counts, and the image
    itself. Images x (N, C, H, W) in [0, 1] stay there; the model runs in eval mode.
    """
    check_images(x)
    y = check_labels(y, len(x))
    check(steps >= 1, "steps", steps, "a whole number >= 1")
    check(restarts >= 1, "restarts", restarts, "a whole number >= 1")
    threat = Linf(eps)
    generator = torch.Generator().manual_seed(seed)
    starts = [threat.random_start(x, threat.sample(tuple(x.shape), generator)).clamp(0, 1) for _ in range(restarts)]
    parts = []
    with evaluating(model), frozen(model):
        for begin in range(0, len(x), batch_size):
            rows = slice(begin, begin + batch_size)
            parts.append(_batch(model, x[rows], y[rows], [start[rows] for start in starts], threat, steps))
    clean, largest, correct, robust = (torch.cat(each) for each in zip(*parts, strict=True))
    return LargestLoss(clean, largest, correct, robust)


def _batch(
    model: nn.Module, x: Tensor, y: Tensor, starts: list[Tensor], threat: Linf, steps: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    clean, correct = _losses(model, x, y)
    largest, robust = clean, correct
    for start in starts:
        x_adv = start
        for step in range(steps + 1):
            loss, right = _losses(model, x_adv, y)
            largest, robust = torch.maximum(largest, loss), robust & right
            if step < steps:
                gradient = loss_gradient(model, x_adv, y, loss=summed_cross_entropy)
                x_adv = threat.project(x_adv + threat.eps / 4 * gradient.sign(), x)
    return clean, largest, correct, robust


def _losses(model: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    with torch.no_grad():
        logits = model(x)
        return cross_entropy(logits, y, reduction="none"), logits.argmax(dim=1) == y
