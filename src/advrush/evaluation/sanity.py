"""The field's checks of a robustness evaluation (Carlini et al. 2019; Athalye et al. 2018), each passed or not."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from advrush.attacks import PGD, parse_attacks, threat_model
from advrush.attacks.attack import seeded
from advrush.attacks.ensemble.checks import suspicions
from advrush.attacks.gate import opened
from advrush.attacks.losses import LOSSES
from advrush.attacks.passes.chunks import predict
from advrush.attacks.passes.fast_model import correct, exact_model
from advrush.attacks.square import Square
from advrush.attacks.threat import Norm
from advrush.modes import evaluating, frozen

CHECKED = 64
"""Examples on which the checks are made: the first that are right without an attack."""
STEPS = (1, 10, 50, 100)
"""Numbers of steps of the attack whose accuracies and losses are compared."""
PLATEAU = 0.05
"""Share by which the loss may still grow over the second half of the steps."""
ALLOWED = 0.02
"""Share of the examples by which an accuracy may be above what it should be at most: luck of a random start."""
LARGE: Mapping[Norm, float] = {"Linf": 1.0, "L2": 30.0}
"""Radii in which an image can become any other, or nearly so; of L1 nothing is checked, since Square lacks it."""
NOISE = 0.1
"""Relative size of the noise on the weights that makes of a network the source of transferred examples."""


@dataclass(frozen=True)
class Check:
    """A check by name, whether it was passed, and what was found, in words."""

    name: str
    passed: bool
    found: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {"name": self.name, "passed": self.passed, "found": self.found}


def sanity(model: nn.Module, x: Tensor, y: Tensor, clean: Tensor, *, eps: float, norm: Norm, seed: int) -> list[Check]:
    """Return the checks of an evaluation of a model, in the order of `names`.

    Args:
        model: maps [0, 1] pixels (N, C, H, W) to logits.
        x: examples (N, C, H, W).
        y: labels (N,).
        clean: True (N,) where the model is right without an attack.
        eps: radius of the ball, in [0, 1] pixel units.
        norm: norm of the ball.
        seed: of the attacks' random starts.
    """
    model = exact_model(model)
    rows = clean.nonzero().flatten()[:CHECKED]
    if not len(rows):
        return []
    rows = rows.to(x.device)
    x, y = x[rows], y[rows]
    (pgd,) = parse_attacks("pgd20", threat_model(norm, eps), seed=seed)
    assert isinstance(pgd, PGD)
    with opened(), evaluating(model), frozen(model):
        points = list(replace(pgd, steps=STEPS[-1]).iterates(model, x, y, STEPS))
        accuracies = [float(correct(model, each, y).double().mean()) for each in points]
        losses = [float(LOSSES["ce"](predict(model, each), y).mean()) for each in points]
        strongest = min(accuracies)
        return [
            _more_steps(accuracies),
            _plateau(losses),
            _large_radius(model, x, y, pgd),
            _transfer(model, x, y, pgd, strongest),
            *_gradients(model, x, y, pgd, strongest),
        ]


def _more_steps(accuracies: list[float]) -> Check:
    worst = max(after - before for before, after in pairwise(accuracies))
    told = ", ".join(f"{value:.1%} after {steps}" for steps, value in zip(STEPS, accuracies, strict=True))
    return Check("more steps help", worst <= ALLOWED, f"PGD leaves {told} steps")


def _plateau(losses: list[float]) -> Check:
    growth = (losses[-1] - losses[-2]) / max(abs(losses[-2]), 1e-12)
    told = f"the loss grows by {growth:.1%} from step {STEPS[-2]} to {STEPS[-1]}"
    return Check("the loss reaches a plateau", growth <= PLATEAU, told)


def _large_radius(model: nn.Module, x: Tensor, y: Tensor, pgd: PGD) -> Check:
    radius = LARGE[pgd.norm]
    left = correct(model, replace(pgd, eps=radius, step_size=radius / 10, steps=50)(model, x, y), y)
    told = f"PGD leaves {float(left.double().mean()):.1%} with eps {radius:g}"
    return Check("a large radius breaks all", not bool(left.any()), told)


def _transfer(model: nn.Module, x: Tensor, y: Tensor, pgd: PGD, strongest: float) -> Check:
    """Compare with examples made on a copy of the network whose weights carry noise."""
    source, generator = copy.deepcopy(model), seeded(pgd.seed)
    with torch.no_grad():
        for parameter in source.parameters():
            noise = torch.randn(parameter.shape, generator=generator).to(parameter)
            parameter.add_(NOISE * parameter.std(correction=0) * noise)
    with evaluating(source), frozen(source):
        left = float(correct(model, pgd(source, x, y), y).double().mean())
    told = f"white box leaves {strongest:.1%}, examples of a network with other weights {left:.1%}"
    return Check("white box at least as strong as transfer", strongest <= left + ALLOWED, told)


def _gradients(model: nn.Module, x: Tensor, y: Tensor, pgd: PGD, strongest: float) -> list[Check]:
    """Look for masked gradients and for randomness, and compare with an attack that uses no gradient."""
    odd = suspicions(model, x[:32], y[:32])
    random = [sentence for sentence in odd if "random" in sentence]
    masked = [sentence for sentence in odd if sentence not in random]
    (square,) = parse_attacks("square", threat_model(pgd.norm, pgd.eps), seed=pgd.seed)
    assert isinstance(square, Square)
    short = replace(square, queries=200)
    left = float(correct(model, short(model, x, y), y).double().mean())
    told = f"200 queries of Square leave {left:.1%}, PGD {strongest:.1%}"
    return [
        Check("no sign of masked gradients", not masked and strongest <= left + ALLOWED, "; ".join([told, *masked])),
        Check("not random", not random, "; ".join(random) or "the same images give the same logits"),
    ]
