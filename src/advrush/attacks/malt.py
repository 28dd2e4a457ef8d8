"""MALT's choice of targets (Melamed, Yehudai and Shamir, NeurIPS 2024): classes that a linear model has near."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from advrush.attacks.apgd_ascent import run_apgd
from advrush.attacks.ensemble.random_streams import RandomStream
from advrush.attacks.ensemble.rounds import Staged
from advrush.attacks.losses import targeted_dlr
from advrush.attacks.passes.chunks import pieces
from advrush.attacks.threat import Norm, refuse_l1, threat_model
from advrush.config import check

TINY = 1e-12


@dataclass(frozen=True)
class MALT(Staged):
    """Auto-PGD on the targeted difference-of-logits ratio, towards the few classes that MALT ranks first.

    An estimate, named so: where AutoAttack's APGD-T aims at nine classes, this aims at three.
    """

    eps: float = 0.031
    """Radius of the ball, in [0, 1] pixel units."""
    steps: int = 100
    """Gradient steps towards each target."""
    targets: int = 3
    """Classes aimed at, at most all others."""
    candidates: int = 100
    """Classes that are ranked, those with the largest logits: each costs one backward pass an example."""
    eot_iter: int = 1
    """Gradients averaged at each step, for models with randomness."""
    norm: Norm = "Linf"
    """Norm of the ball."""
    seed: int = 0
    """Seed of the random starts."""

    is_estimate = True

    def __post_init__(self) -> None:
        threat_model(self.norm, self.eps)
        refuse_l1(self.norm, "malt")
        for name in ("steps", "targets", "candidates", "eot_iter"):
            check(getattr(self, name) >= 1, name, getattr(self, name), "a whole number >= 1")

    @property
    def name(self) -> str:
        """Name for tables and files."""
        return "malt_estimate"

    def rounds(self, classes: int) -> int:
        """Return 1: the ranking serves all targets."""
        return 1

    def attack_round(
        self, model: nn.Module, x: Tensor, y: Tensor, *, number: int, stream: RandomStream
    ) -> tuple[Tensor, Tensor]:
        """Return adversarial examples and which are broken, aiming at one class after another."""
        order = nearest_classes(model, x, y, candidates=max(self.candidates, self.targets))
        found, broken = x.clone(), torch.zeros(len(x), dtype=torch.bool, device=x.device)
        for target in order.unbind(dim=1)[: self.targets]:
            left = (~broken).nonzero().flatten()
            if not len(left):
                break
            label, aim = y[left], target[left]

            def value(logits: Tensor, part: Tensor, label: Tensor = label, aim: Tensor = aim) -> Tensor:
                return targeted_dlr(logits, label[part], aim[part])

            points, hit = run_apgd(model, x[left], label, stream=stream.of(left), attack=self, value=value)
            found[left], broken[left] = points, hit
        return found, broken


def nearest_classes(model: nn.Module, x: Tensor, y: Tensor, *, candidates: int) -> Tensor:
    """Return other classes (N, min(candidates, K - 1)), the nearest first.

    Of the `candidates` classes with the largest logits z, those come first for which
    (z_k - z_y) / ||grad_x (z_k - z_y)||_2 is largest: minus the distance to the boundary, were the model linear.
    """
    return torch.cat([_ranked(model, x[rows], y[rows], candidates) for rows in pieces(x)])


def _ranked(model: nn.Module, x: Tensor, y: Tensor, candidates: int) -> Tensor:
    point = x.detach().requires_grad_(True)
    with torch.enable_grad():
        logits = model(point)
        own = logits.gather(1, y[:, None])
        others = logits.detach().scatter(1, y[:, None], -torch.inf)
        classes = others.topk(min(candidates, logits.shape[1] - 1), dim=1).indices
        gaps = logits.gather(1, classes) - own
        totals = gaps.sum(dim=0).unbind()
    scores = []
    for total, gap in zip(totals, gaps.detach().unbind(dim=1), strict=True):
        (grad,) = torch.autograd.grad(total, point, retain_graph=True, materialize_grads=True)
        scores.append(gap / (grad.flatten(1).square().sum(dim=1).sqrt() + TINY))
    order = torch.stack(scores, dim=1).sort(dim=1, descending=True, stable=True).indices
    nearest: Tensor = classes.gather(1, order)
    return nearest
