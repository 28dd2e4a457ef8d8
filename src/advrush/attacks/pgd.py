"""Projected gradient descent (Madry et al. 2018), and its one-step ancestor FGSM (Goodfellow et al. 2015)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypedDict, Unpack

import torch
from torch import Tensor, nn

from advrush.attacks.attack import seeded
from advrush.attacks.ensemble.runnable import Runnable
from advrush.attacks.losses import ESTIMATES, LOSSES
from advrush.attacks.passes.chunks import pieces
from advrush.attacks.passes.classes import told
from advrush.attacks.passes.fast_model import correct, exact_model, in_layout
from advrush.attacks.passes.upload import upload
from advrush.attacks.signs import CUT
from advrush.attacks.target import TOWARDS, Target, check_target, pairs, target_suffix
from advrush.attacks.threat import Norm, ThreatModel, per_example, refuse_l1, threat_model
from advrush.config import check, check_radius
from advrush.errors import ModelContractError
from advrush.modes import evaluating, frozen, weights_unchanged

Loss = Callable[[Tensor, Tensor], Tensor]


def loss_gradient(model: nn.Module, x: Tensor, y: Tensor, *, loss: Loss) -> Tensor:
    """Return the gradient of each example's own loss with respect to it, asked of nothing else.

    Raises ModelContractError where the model cuts the graph.
    """
    x = x.detach().requires_grad_(True)
    with torch.enable_grad():
        total = loss(model(x), y).sum()
    (gradient,) = torch.autograd.grad(total, x, allow_unused=True) if total.requires_grad else (None,)
    if gradient is None:
        raise ModelContractError(CUT)
    return gradient


def ascend(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    start: Tensor,
    steps: int,
    step_size: float,
    threat: ThreatModel,
    loss: Loss,
) -> Tensor:
    """Return the last iterate of projected steepest ascent from `start`.

    The bare loop: the model is used in the mode and with the flags that it has, nothing waits for the device.
    """
    x_adv = start
    with weights_unchanged():
        for _ in range(steps):
            gradient = loss_gradient(model, x_adv, y, loss=loss)
            x_adv = threat.project(x_adv.detach() + step_size * threat.step(gradient, x_adv.detach()), x)
    return x_adv.detach()


class _Options(TypedDict):
    steps: int
    step_size: float
    threat: ThreatModel
    loss: Loss


def _aim(loss: str, y: Tensor, targets: Tensor | None) -> tuple[Loss, Tensor]:
    """Return what is maximized, and of what it is a function besides the logits: labels, or pairs with targets."""
    return (LOSSES[loss], y) if targets is None else (TOWARDS[loss], pairs(y, targets))


def _reached(model: nn.Module, x_adv: Tensor, goal: Tensor) -> Tensor:
    """Return True (N,) where the exact model is wrong about an example, or takes it for its target."""
    if goal.dim() == 1:
        return ~correct(model, x_adv, goal)
    return told(exact_model(model), x_adv) == goal[:, 1]


def _in_pieces(model: nn.Module, x: Tensor, y: Tensor, *, start: Tensor, **options: Unpack[_Options]) -> Tensor:
    """Return what `ascend` does, on a CPU by as many examples at a time as its caches like, in the layout it likes."""

    def in_parts(x: Tensor, start: Tensor) -> Tensor:
        return torch.cat([ascend(model, x[rows], y[rows], start=start[rows], **options) for rows in pieces(x)])

    if not len(x):
        return x.detach()
    layout = torch.channels_last if x.device.type == "cpu" and x.ndim == 4 else torch.preserve_format
    return torch.empty_like(x).copy_(in_layout(layout, in_parts, x, start))


@dataclass(frozen=True)
class FGSM(Runnable):
    """One step of length eps along the gradient's sign (L2: along the gradient)."""

    eps: float = 0.031
    """Radius of the ball, in [0, 1] pixel units."""
    norm: Norm = "Linf"
    """Norm of the ball."""
    seed: int = 0
    """Without effect: there is nothing random in it."""
    target: Target | None = None
    """The class that examples are to be taken for: least-likely, next or a number; None for any other than theirs."""

    def __post_init__(self) -> None:
        threat_model(self.norm, self.eps)
        refuse_l1(self.norm, "fgsm")
        check_target(self.target)

    @property
    def name(self) -> str:
        """Name for tables and files: fgsm, fgsm_to_next."""
        return f"fgsm{target_suffix(self.target)}"

    def attack_batch(
        self, model: nn.Module, x: Tensor, y: Tensor, *, generator: torch.Generator, targets: Tensor | None
    ) -> Tensor:
        """Return the examples after the step; nothing is drawn from `generator`."""
        threat = threat_model(self.norm, self.eps)
        loss, goal = _aim("ce", y, targets)
        return _in_pieces(model, x, goal, start=x, steps=1, step_size=self.eps, threat=threat, loss=loss)


@dataclass(frozen=True)
class PGD(Runnable):
    """Steps of fixed length along the gradient's sign, projected to the ball; the last iterate counts.

    L2: along the gradient. L1: along the signs of its largest 1%, projected exactly to the ball inside [0, 1].

    With restarts, an example keeps the first restart that broke it, and later ones attack only the others.
    """

    eps: float = 0.031
    """Radius of the ball, in [0, 1] pixel units."""
    steps: int = 20
    """Gradient steps."""
    step_size: float = 0.01
    """Length of a step, in pixel units."""
    restarts: int = 1
    """Random starts."""
    start: Literal["uniform", "normal", "none"] = "uniform"
    """uniform: anywhere in the cube (Linf), on the sphere (L2), at a sparse point of it (L1); normal: at
    x + 0.001 N(0, 1) (adversarial training); none: at x."""
    loss: Literal["ce", "margin", "dlr", "pma"] = "ce"
    """Cross-entropy, the margin of Carlini and Wagner, the difference-of-logits ratio, the margin of probabilities."""
    norm: Norm = "Linf"
    """Norm of the ball."""
    seed: int = 0
    """Seed of the random starts."""
    target: Target | None = None
    """The class that examples are to be taken for: least-likely, next or a number; None for any other than theirs."""

    def __post_init__(self) -> None:
        threat_model(self.norm, self.eps)
        check_target(self.target)
        check(self.steps >= 1, "steps", self.steps, "a whole number >= 1")
        check_radius("step_size", self.step_size, norm=self.norm)
        check(self.restarts >= 1, "restarts", self.restarts, "a whole number >= 1")
        check(self.start in ("uniform", "normal", "none"), "start", self.start, "uniform, normal or none")
        check(self.loss in LOSSES, "loss", self.loss, " or ".join(LOSSES))

    @property
    def name(self) -> str:
        """Name for tables: pgd20, cw20 (margin), pgd_dlr20, pgd20x5 (restarts), pgd_pma20_estimate, pgd20_to_next."""
        kind = {"ce": "pgd", "margin": "cw"}.get(self.loss, f"pgd_{self.loss}")
        restarts = f"x{self.restarts}" if self.restarts > 1 else ""
        estimate = "_estimate" if self.is_estimate else ""
        return f"{kind}{self.steps}{restarts}{estimate}{target_suffix(self.target)}"

    @property
    def is_estimate(self) -> bool:
        """Return whether the loss makes this an estimate of AutoAttack's outcome."""
        return self.loss in ESTIMATES

    def attack_batch(
        self, model: nn.Module, x: Tensor, y: Tensor, *, generator: torch.Generator, targets: Tensor | None
    ) -> Tensor:
        """Return the last iterates from the starts that `generator` gives."""
        loss, goal = _aim(self.loss, y, targets)
        x_adv = self._once(model, x, goal, self._begin(x, generator), loss)
        for _ in range(self.restarts - 1):
            done = _reached(model, x_adv, goal)
            again = self._once(model, x, goal, self._begin(x, generator), loss)
            x_adv = torch.where(per_example(done, x), x_adv, again)
        return x_adv

    def perturb_from(self, model: nn.Module, x: Tensor, y: Tensor, start: Tensor) -> Tensor:
        """Return the last iterates from `start` (N, C, H, W): no restarts, no target, no check of inputs."""
        with evaluating(model), frozen(model):
            return self._once(model, x, y, start, LOSSES[self.loss])

    def iterates(self, model: nn.Module, x: Tensor, y: Tensor, counts: Sequence[int]) -> Iterator[Tensor]:
        """Yield the examples after each of `counts` steps (ascending), in one pass of the largest.

        Each is what the attack with so many steps, and the same seed and otherwise the same fields, returns.
        Of restarts only the first is made.
        """
        done, x_adv = 0, self._begin(x, seeded(self.seed))
        for count in counts:
            check(count > done, "counts", tuple(counts), "ascending numbers of steps, at least 1")
            x_adv = replace(self, steps=count - done).perturb_from(model, x, y, x_adv)
            done = count
            yield x_adv

    def _once(self, model: nn.Module, x: Tensor, goal: Tensor, start: Tensor, loss: Loss) -> Tensor:
        threat = threat_model(self.norm, self.eps)
        return _in_pieces(
            model, x, goal, start=start, steps=self.steps, step_size=self.step_size, threat=threat, loss=loss
        )

    def _begin(self, x: Tensor, generator: torch.Generator) -> Tensor:
        threat = threat_model(self.norm, self.eps)
        if self.start == "uniform":
            return threat.random_start(x, threat.sample(tuple(x.shape), generator)).clamp(0.0, 1.0)
        if self.start == "normal":
            noise = upload(torch.randn(x.shape, generator=generator, device=generator.device), x)
            return threat.project(x + 0.001 * noise, x)
        return x
