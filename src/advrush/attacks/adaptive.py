"""An adaptive ensemble of restarts in the spirit of A3 (Liu et al., CVPR 2022): effort goes where it may succeed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from advrush.attacks.ensemble.random_streams import RandomStream
from advrush.attacks.ensemble.rounds import Staged
from advrush.attacks.losses import margin
from advrush.attacks.passes.chunks import gradient, predict
from advrush.attacks.passes.upload import upload
from advrush.attacks.threat import Norm, per_example, refuse_l1, threat_model
from advrush.config import check
from advrush.schedule import cosine

PLAN = ((20, 1.0), (20, 1.0), (30, 0.6), (50, 0.4), (50, 0.25), (100, 0.15))
"""Of each restart: gradient steps, and the share of the unbroken examples that is attacked, those nearest to defeat."""
OPENING = 5
"""Steps of a restart along a direction in the space of the logits, before its ascent."""


@dataclass(frozen=True)
class Adaptive(Staged):
    """Restarts of ascent on the margin, whose starts learn from the earlier ones' successes.

    Each restart but the first moves the start along a direction w in the space of the logits (adaptive direction
    initialization): w is random, but at the label and at the runner-up it has the sign that broken examples had in
    sum. Later restarts have more steps and go to fewer examples, those whose margin came nearest to 0 (statistics-based
    discarding, within a batch). The step falls from 2 eps to 0 as a cosine. An estimate, named so: a tenth of
    AutoAttack's gradients, and none of its attacks of other kinds.
    """

    eps: float = 0.031
    """Radius of the ball, in [0, 1] pixel units."""
    restarts: int = len(PLAN)
    """How many of PLAN's restarts are made."""
    norm: Norm = "Linf"
    """Norm of the ball."""
    seed: int = 0
    """Seed of starts and directions."""

    is_estimate = True

    def __post_init__(self) -> None:
        threat_model(self.norm, self.eps)
        refuse_l1(self.norm, "adaptive")
        check(1 <= self.restarts <= len(PLAN), "restarts", self.restarts, f"1 to {len(PLAN)}")

    @property
    def name(self) -> str:
        """Name for tables and files."""
        return "adaptive_estimate"

    def rounds(self, classes: int) -> int:
        """Return 1: the restarts learn from each other."""
        return 1

    def attack_round(
        self, model: nn.Module, x: Tensor, y: Tensor, *, number: int, stream: RandomStream
    ) -> tuple[Tensor, Tensor]:
        """Return adversarial examples and which are broken."""
        logits = predict(model, x)
        runner_up = logits.scatter(1, y[:, None], -torch.inf).argmax(dim=1)
        state = _State(x, margin(logits, y))
        learnt = torch.zeros(2, dtype=x.dtype, device=x.device)
        for restart, (steps, share) in enumerate(PLAN[: self.restarts]):
            rows = state.nearest(share)
            if not len(rows):
                break
            own = stream.of(rows)
            start = self._start(x[rows], own)
            if restart:
                w = directions(own, y[rows], runner_up[rows], learnt, logits)
                start = self._open(model, x[rows], start, w)
            self._ascend(model, x, y, rows, start, steps, state)
            if restart:
                each = torch.stack([w.gather(1, c[rows, None]).squeeze(1) for c in (y, runner_up)], dim=1)
                learnt = learnt + (each * state.broken[rows, None]).sum(dim=0)
        return state.found, state.broken

    def _start(self, x: Tensor, stream: RandomStream) -> Tensor:
        noise = stream.each(tuple(x.shape[1:]), normal=self.norm == "L2")
        return threat_model(self.norm, self.eps).random_start(x, noise).clamp(0.0, 1.0)

    def _open(self, model: nn.Module, x: Tensor, point: Tensor, w: Tensor) -> Tensor:
        """Return the point after steps of length eps up <w, logits>."""
        threat = threat_model(self.norm, self.eps)
        for _ in range(OPENING):
            _, _, grad = gradient(model, point, lambda logits, part: (w[part] * logits).sum(dim=1))
            point = threat.project(point + self.eps * threat.direction(grad), x)
        return point

    def _ascend(
        self, model: nn.Module, x: Tensor, y: Tensor, rows: Tensor, point: Tensor, steps: int, state: _State
    ) -> None:
        """Ascend the margin from `point`; broken examples leave at once on a CPU, on a GPU at the end."""
        threat = threat_model(self.norm, self.eps)
        for step in range(steps):
            _, value, grad = _margin_gradient(model, point, y[rows])
            state.note(rows, point, value)
            if x.device.type == "cpu":
                left = (~state.broken[rows]).nonzero().flatten()
                if len(left) < len(rows):
                    rows, point, grad = rows[left], point[left], grad[left]
                if not len(rows):
                    return
            length = cosine(2 * self.eps, 0.0, step, total=steps)
            point = threat.project(point + length * threat.direction(grad), x[rows])
        state.note(rows, point, margin(predict(model, point), y[rows]))


def _margin_gradient(model: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return gradient(model, x, lambda logits, part: margin(logits, y[part]))


class _State:
    """What is known of each example of a batch."""

    def __init__(self, x: Tensor, first: Tensor) -> None:
        self.found, self.best = x.clone(), first
        self.broken = torch.zeros(len(x), dtype=torch.bool, device=x.device)

    def note(self, rows: Tensor, points: Tensor, value: Tensor) -> None:
        """Take in the margins (n,) of the points of some examples: above 0 they are broken."""
        new = (value > 0) & ~self.broken[rows]
        self.found[rows] = torch.where(per_example(new, points), points, self.found[rows])
        self.broken[rows] |= new
        self.best[rows] = torch.maximum(self.best[rows], value)

    def nearest(self, share: float) -> Tensor:
        """Return the unbroken examples (n,) with the largest margins, this share of them, at least one if any."""
        left = (~self.broken).nonzero().flatten()
        count = math.ceil(share * len(left))
        return left[self.best[left].topk(count).indices].sort().values if count else left


def directions(stream: RandomStream, y: Tensor, runner_up: Tensor, learnt: Tensor, logits: Tensor) -> Tensor:
    """Return w (n, K): uniform in [-1, 1), with the learnt signs (none where 0) at the label and at the runner-up.

    `learnt` (2,) holds the sums of the successful directions at label and runner-up; `logits` gives K, type and device.
    """
    w = 2 * upload(stream.each((logits.shape[1],)), logits) - 1
    for place, total in zip((y, runner_up), learnt.sign(), strict=True):
        own = w.gather(1, place[:, None])
        w = w.scatter(1, place[:, None], torch.where(total == 0, own, total * own.abs()))
    return w
