"""Threat models: the ball around an example in which an adversary may move."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from advrush.attacks.l1_geometry import free_gradient, laplace, onto_l1_ball_in_box, sparse_direction
from advrush.attacks.passes.upload import upload
from advrush.config import check, check_radius, did_you_mean, radius_text

Norm = Literal["Linf", "L2", "L1"]
TINY = 1e-12
SHARE = 0.01
"""Part of the pixel values that a step of PGD changes in the L1 ball."""


def per_example(values: Tensor, like: Tensor) -> Tensor:
    """Return `values` (N,) shaped to broadcast over `like` (N, ...)."""
    return values.view(-1, *[1] * (like.dim() - 1))


def flat(x: Tensor) -> Tensor:
    """Return examples (N, C, H, W) as rows (N, D) in the order in which they lie in memory, without a copy."""
    return (x.permute(0, 2, 3, 1) if _channels_last(x) else x).flatten(1)


def like_images(rows: Tensor, like: Tensor) -> Tensor:
    """Return rows (N, D) in the memory's order of `like` (N, C, H, W) as images."""
    if not _channels_last(like):
        return rows.view_as(like)
    n, channels, height, width = like.shape
    return rows.view(n, height, width, channels).permute(0, 3, 1, 2)


def _channels_last(x: Tensor) -> bool:
    return x.dim() == 4 and not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last)


@dataclass(frozen=True)
class ThreatModel(ABC):
    """All images in [0, 1] within `eps` of the original; `eps` in pixel units, where 1 is white."""

    eps: float
    """Radius of the ball."""

    def __post_init__(self) -> None:
        check_radius("eps", self.eps, norm=self.norm)

    @property
    @abstractmethod
    def norm(self) -> Norm:
        """Name of the norm."""

    @abstractmethod
    def project(self, x_adv: Tensor, x: Tensor) -> Tensor:
        """Return `x_adv` moved into the ball around `x` and into [0, 1]."""

    @abstractmethod
    def direction(self, gradient: Tensor) -> Tensor:
        """Return the unit step of steepest ascent."""

    def step(self, gradient: Tensor, point: Tensor) -> Tensor:
        """Return the unit step of PGD at `point`: that of steepest ascent."""
        return self.direction(gradient)

    @property
    def slack(self) -> float:
        """Return how far beyond eps rounding may carry a distance: pixels near 1 have no finer steps than 6e-8."""
        return 1e-6

    @abstractmethod
    def random_start(self, x: Tensor, noise: Tensor) -> Tensor:
        """Return the start of an attack: `x` moved by `noise` (from `sample`) in the ball, not yet in [0, 1]."""

    @abstractmethod
    def sphere(self, x: Tensor, noise: Tensor) -> Tensor:
        """Return `x` moved by exactly `eps` along `noise` (around 0), not yet clipped to [0, 1]."""

    @abstractmethod
    def sample(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Return the raw random numbers that `random_start` takes, on the generator's device."""

    @abstractmethod
    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the norm (N,) of each example's difference."""


@dataclass(frozen=True)
class Linf(ThreatModel):
    """Each channel of each pixel moves by at most `eps`, which is at most 1."""

    @property
    def norm(self) -> Norm:
        """Name of the norm."""
        return "Linf"

    def __str__(self) -> str:
        return f"Linf, eps {self.eps:g} ({self.eps * 255:.1f}/255)"

    def project(self, x_adv: Tensor, x: Tensor) -> Tensor:
        """Return `x_adv` clipped to x ± eps and [0, 1]."""
        return torch.clamp(x_adv, x - self.eps, x + self.eps).clamp_(0.0, 1.0)

    def direction(self, gradient: Tensor) -> Tensor:
        """Return the gradient's sign."""
        return gradient.sign()

    def sample(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Return uniform numbers in [0, 1)."""
        return torch.rand(shape, generator=generator, device=generator.device)

    def random_start(self, x: Tensor, noise: Tensor) -> Tensor:
        """Return a point drawn evenly from the cube around `x`."""
        return x + self.eps * (2 * upload(noise, x) - 1)

    def sphere(self, x: Tensor, noise: Tensor) -> Tensor:
        """Return a point on the cube's surface along `noise` in [0, 1), spread to [-1, 1)."""
        centered = 2 * noise - 1
        return x + self.eps * (centered / (per_example(centered.flatten(1).abs().amax(dim=1), x) + TINY))

    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the largest absolute difference (N,)."""
        return (a - b).abs().amax(dim=tuple(range(1, a.dim())))


@dataclass(frozen=True)
class L2(ThreatModel):
    """The Euclidean distance of the whole image is at most `eps`."""

    @property
    def norm(self) -> Norm:
        """Name of the norm."""
        return "L2"

    def __str__(self) -> str:
        return f"L2, eps {self.eps:g} ({self.eps * 255:.1f}/255)"

    def project(self, x_adv: Tensor, x: Tensor) -> Tensor:
        """Return `x_adv` scaled back to the ball and clipped to [0, 1]."""
        delta = x_adv - x
        length = _length(delta)
        return (x + delta / (length + TINY) * length.clamp_max(self.eps)).clamp(0.0, 1.0)

    def direction(self, gradient: Tensor) -> Tensor:
        """Return the gradient over its length."""
        return gradient / (_length(gradient) + TINY)

    def sample(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Return normal numbers."""
        return torch.randn(shape, generator=generator, device=generator.device)

    def random_start(self, x: Tensor, noise: Tensor) -> Tensor:
        """Return a point on the sphere around `x`, where the strongest starts lie."""
        return self.sphere(x, upload(noise, x))

    def sphere(self, x: Tensor, noise: Tensor) -> Tensor:
        """Return a point on the sphere along normal `noise`."""
        return x + self.eps * self.direction(noise)

    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the Euclidean distance (N,)."""
        return _length(a - b).flatten()


@dataclass(frozen=True)
class L1(ThreatModel):
    """The sum of all absolute differences is at most `eps`."""

    @property
    def norm(self) -> Norm:
        """Name of the norm."""
        return "L1"

    def __str__(self) -> str:
        return radius_text("L1", self.eps)

    @property
    def slack(self) -> float:
        """Return how far beyond eps rounding may carry a sum over all pixels."""
        return 1e-6 + 1e-5 * self.eps

    def project(self, x_adv: Tensor, x: Tensor) -> Tensor:
        """Return the point of ball and [0, 1] that is nearest to `x_adv`."""
        return onto_l1_ball_in_box(x_adv.flatten(1), x.flatten(1), self.eps).view_as(x)

    def direction(self, gradient: Tensor) -> Tensor:
        """Return a sparse step: the signs of the largest gradient entries over their number (Tramer and Boneh 2019).

        The steepest step of length 1 changes a single entry; papers change the largest 1%.
        """
        return sparse_direction(gradient.flatten(1), SHARE).view_as(gradient)

    def step(self, gradient: Tensor, point: Tensor) -> Tensor:
        """Return a sparse step that leaves out pixels which are black or white and can go no further."""
        return self.direction(free_gradient(gradient, point))

    def sample(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Return uniform numbers in [0, 1)."""
        return torch.rand(shape, generator=generator, device=generator.device)

    def random_start(self, x: Tensor, noise: Tensor) -> Tensor:
        """Return a point on the sphere around `x` that differs from it in as few pixel values as a step changes.

        PGD's steps would need long to take back a start that changes all of them.
        """
        offset = laplace(upload(noise, x).double()).flatten(1)
        kept = sparse_direction(offset, SHARE).view_as(x) != 0
        offset = torch.where(kept, offset.view_as(x), 0.0)
        return x + (self.eps * offset / (per_example(offset.flatten(1).abs().sum(dim=1), x) + TINY)).to(x)

    def sphere(self, x: Tensor, noise: Tensor) -> Tensor:
        """Return a point drawn evenly from the sphere, along uniform `noise` made Laplacian."""
        offset = laplace(noise.double())
        return x + (self.eps * offset / (per_example(offset.flatten(1).abs().sum(dim=1), x) + TINY)).to(x)

    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the sum of absolute differences (N,)."""
        return (a - b).flatten(1).abs().sum(dim=1)


def _length(x: Tensor) -> Tensor:
    """Return each example's Euclidean norm, shaped to broadcast."""
    return per_example((x**2).flatten(1).sum(dim=-1).sqrt(), x)


MODELS: dict[str, type[ThreatModel]] = {"Linf": Linf, "L2": L2, "L1": L1}


def threat_model(norm: Norm, eps: float) -> ThreatModel:
    """Return the threat model of a norm's name; ConfigError for another name."""
    check(isinstance(norm, str) and norm in MODELS, "norm", norm, f"Linf, L2 or L1{did_you_mean(str(norm), MODELS)}")
    return MODELS[norm](eps)


def refuse_l1(norm: Norm, attack: str) -> None:
    """Raise ConfigError for the L1 norm, naming the attack, which has no form for it here."""
    check(norm != "L1", "norm", norm, f"Linf or L2 for {attack}; pgd, apgd_ce, apgd_dlr, apgd_t and apgd_duo take L1")
