"""Fast Adaptive Boundary attack (Croce and Hein, ICML 2020): steps onto the linearized decision boundary."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from advrush.attacks.ensemble.random_streams import RandomStream
from advrush.attacks.ensemble.rounds import Staged
from advrush.attacks.fab_projection import onto_hyperplane_l2, onto_hyperplane_linf
from advrush.attacks.found import note_found
from advrush.attacks.passes.chunks import by_pieces, gradient, pieces, predict
from advrush.attacks.passes.upload import upload
from advrush.attacks.threat import Norm, ThreatModel, flat, like_images, per_example, refuse_l1, threat_model
from advrush.config import check

PULL = 0.1
"""Largest weight of the original image in a step."""
OVERSHOOT = 1.05
BACK = 0.9
"""After a success, the point returns to this fraction of its distance."""


@dataclass(frozen=True)
class FAB(Staged):
    """Minimize the perturbation's norm over all other classes, or with `targets` towards one class after another."""

    eps: float = 0.031
    """Radius of the ball, in [0, 1] pixel units."""
    steps: int = 100
    """Steps of each run."""
    restarts: int = 1
    """Runs (for each target); those after the first start at random."""
    targets: int = 0
    """Classes aimed at one by one, at most all others; 0 for the nearest boundary in each step."""
    norm: Norm = "Linf"
    """Norm of the ball."""
    seed: int = 0
    """Seed of the random starts."""

    def __post_init__(self) -> None:
        threat_model(self.norm, self.eps)
        refuse_l1(self.norm, "fab")
        check(self.steps >= 1, "steps", self.steps, "a whole number >= 1")
        check(self.restarts >= 1, "restarts", self.restarts, "a whole number >= 1")
        check(self.targets >= 0, "targets", self.targets, "a whole number >= 0")

    @property
    def name(self) -> str:
        """Name for tables and files: fab, or fab_t."""
        return "fab_t" if self.targets else "fab"

    def rounds(self, classes: int) -> int:
        """Return restarts, times targets where there are some."""
        return self.restarts * (min(self.targets, classes - 1) if self.targets else 1)

    def draws_noise(self, number: int) -> bool:
        """Return whether the round starts at random."""
        return number % self.restarts > 0

    def attack_round(
        self, model: nn.Module, x: Tensor, y: Tensor, *, number: int, stream: RandomStream
    ) -> tuple[Tensor, Tensor]:
        """Return the first points within eps, and which examples have one."""
        threat = threat_model(self.norm, self.eps)
        target = None
        if self.targets:
            target = predict(model, x).sort(dim=1).indices[:, -2 - number // self.restarts]
        start = x
        if self.draws_noise(number):
            noise = upload(stream.each(tuple(x.shape[1:]), normal=self.norm == "L2"), x)
            start = (x + 0.5 * (threat.sphere(x, noise) - x)).clamp(0.0, 1.0)

        def walk(rows: Tensor) -> tuple[Tensor, Tensor]:
            aim = None if target is None else target[rows]
            return _walk(model, x[rows], y[rows], aim, start[rows], self.steps, threat)

        return by_pieces(walk, x)


def _walk(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    target: Tensor | None,
    start: Tensor,
    steps: int,
    threat: ThreatModel,
) -> tuple[Tensor, Tensor]:
    found, broken = x.clone(), torch.zeros(len(x), dtype=torch.bool, device=x.device)
    rows, point = torch.arange(len(x), device=x.device), start
    for step in range(steps):
        origin, label = x[rows], y[rows]
        gap, normal = _boundary(model, point, label, None if target is None else target[rows], threat)
        point = _step(point, origin, gap, normal, threat)
        wrong = predict(model, point).argmax(dim=1) != label
        new = wrong & (threat.distance(point, origin) <= threat.eps)
        note_found(found, broken, rows, new, point)
        point = torch.where(per_example(wrong, x), origin + (point - origin) * BACK, point)
        if x.device.type == "cpu" or step % 10 == 9:
            left = (~broken[rows]).nonzero().flatten()
            if len(left) < len(rows):
                rows, point = rows[left], point[left]
            if not len(rows):
                break
    return found, broken


def _boundary(
    model: nn.Module, point: Tensor, label: Tensor, target: Tensor | None, threat: ThreatModel
) -> tuple[Tensor, Tensor]:
    """Return the difference of logits (N,) to the target, or the nearest class, and its gradient (N, C, H, W)."""
    if target is not None:

        def difference(logits: Tensor, part: slice) -> Tensor:
            own, aim = label[part, None], target[part, None]
            return -(logits.gather(1, own) - logits.gather(1, aim)).squeeze(1)

        _, gap, normal = gradient(model, point, difference)
        return gap, normal
    gaps, normals = zip(*(_nearest(model, point[part], label[part], threat) for part in pieces(point)), strict=True)
    return torch.cat(gaps), torch.cat(normals)


def _nearest(model: nn.Module, point: Tensor, label: Tensor, threat: ThreatModel) -> tuple[Tensor, Tensor]:
    """Return gap and gradient of the class whose linearized boundary is nearest: one backward pass a class."""
    point = point.detach().requires_grad_(True)
    with torch.enable_grad():
        logits = model(point)
        totals = logits.sum(dim=0).unbind()
    jacobian = torch.stack([torch.autograd.grad(total, point, retain_graph=True)[0] for total in totals], dim=1)
    logits, each = logits.detach(), torch.arange(len(label), device=label.device)
    gaps = (logits - logits[each, label][:, None]).scatter(1, label[:, None], 1e10)
    normals = jacobian - jacobian[each, label][:, None]
    flat = normals.flatten(2)
    lengths = flat.abs().sum(-1) if threat.norm == "Linf" else (flat**2).sum(-1).sqrt()
    nearest = (gaps.abs() / (1e-12 + lengths)).argmin(dim=1)
    return gaps[each, nearest], normals[each, nearest]


def _step(point: Tensor, origin: Tensor, gap: Tensor, normal: Tensor, threat: ThreatModel) -> Tensor:
    """Return the convex combination of the projections of the point and of the original image, overshot."""
    project = onto_hyperplane_linf if threat.norm == "Linf" else onto_hyperplane_l2
    w, rows = flat(normal), flat(point)
    offset = -gap + (w * rows).sum(dim=-1)
    from_here, from_home = (like_images(project(at, w, offset), point) for at in (rows, flat(origin)))
    here, home = (threat.distance(move, torch.zeros_like(move)).clamp_min(1e-8) for move in (from_here, from_home))
    pull = per_example((here / (here + home)).clamp(0.0, PULL), point)
    return ((point + OVERSHOOT * from_here) * (1 - pull) + (origin + from_home * OVERSHOOT) * pull).clamp(0.0, 1.0)
