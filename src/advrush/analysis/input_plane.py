"""The loss on a plane through each image: Eq. 1 with o = x."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from advrush.analysis.pieces import Piece, Remember, forgetful
from advrush.attacks.gate import check_images, check_labels
from advrush.config import check
from advrush.curvature import input_gradient
from advrush.errors import ModelContractError
from advrush.kernels.attack_direction import attack_direction
from advrush.modes import evaluating, frozen

Direction = Literal["normal", "sign"]


@dataclass(frozen=True, eq=False)
class Landscape:
    """Losses (N, points, points) of N images; [n, i, j] is at coordinates[i] on the first axis, [j] on the second.

    `coordinates` (points,) are float64, from -extent to extent; the middle is 0, the image or the weights themselves.
    """

    coordinates: Tensor
    losses: Tensor

    @property
    def mean(self) -> Tensor:
        """Return the surface averaged over the images, float64 (points, points)."""
        return self.losses.double().mean(dim=0)


def input_landscape(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    direction: Direction = "normal",
    extent: float = 0.062,
    points: int = 51,
    batch_size: int = 512,
    seed: int = 0,
    on_batch: Callable[[int], object] | None = None,
    remember: Remember = forgetful,
) -> Landscape:
    """Return each image's cross-entropy at `x + sqrt(D) (i r + j v)` for i, j from -extent to extent.

    r is the unit vector of the loss's gradient ("normal") or of its sign ("sign"), v a random unit vector orthogonal
    to it, D the number of an image's values: i and j are root mean squares over the pixels, so that with "sign" the
    point i moves every value by i. Pixels are not cut off at 0 and 1.

    Args:
        model: any nn.Module from images to logits (N, K); runs in eval mode.
        x: images (N, C, H, W) in [0, 1].
        y: labels (N,), int64.
        direction: the first axis.
        extent: half side of the plane, in [0, 1] pixels.
        points: along each side, odd.
        batch_size: images at once.
        seed: of v; the same for all networks, before it is made orthogonal.
        on_batch: called with the number of passed images, again and again.
        remember: keeps the losses of each few images, so that an interrupted call goes on (see `analysis.pieces`).

    An image whose gradient is zero gets a random r. Raises DataError for images outside [0, 1],
    ModelContractError for a loss that is not finite.
    """
    check_images(x)
    y = check_labels(y, len(x))
    axis = grid(extent, points)
    check(batch_size >= 1, "batch_size", batch_size, "a whole number >= 1")
    with evaluating(model), frozen(model):
        r, v = directions(model, x, y, direction=direction, seed=seed, batch_size=batch_size)
        step = x[0].numel() ** 0.5
        r, v = r * step, v * step
        offsets = torch.cartesian_prod(axis, axis).to(x)
        each = max(1, batch_size // len(offsets))
        parts = []
        with torch.no_grad():
            for first in range(0, len(x), each):
                rows = slice(first, first + each)
                moves = (x[rows], y[rows], r[rows], v[rows], offsets)
                parts.append(remember(f"images {first}", partial(_plane, model, *moves, batch_size))["losses"])
                if on_batch:
                    on_batch(len(x[rows]) * len(offsets))
    return finite(Landscape(axis, torch.cat(parts).view(len(x), points, points)))


def _plane(model: nn.Module, x: Tensor, y: Tensor, r: Tensor, v: Tensor, offsets: Tensor, batch_size: int) -> Piece:
    """Return the losses (n, offsets) of a few images at all points."""
    parts = offsets.split(batch_size)  # type: ignore[no-untyped-call]
    return {"losses": torch.cat([_losses(model, x, y, r, v, part) for part in parts], dim=1).cpu()}


def finite(landscape: Landscape) -> Landscape:
    """Return the landscape. Raises ModelContractError where a loss of it is not finite."""
    bad = int((~torch.isfinite(landscape.losses)).sum())
    if bad:
        total = landscape.losses.numel()
        raise ModelContractError(
            f"the loss is not finite at {bad} of {total} points of the plane; try a smaller extent"
        )
    return landscape


def grid(extent: float, points: int) -> Tensor:
    """Return `points` coordinates from -extent to extent, symmetric to the last bit, float64."""
    check(extent > 0, "extent", extent, "a number > 0, such as 0.062")
    check(points >= 3 and points % 2 == 1, "points", points, "an odd number >= 3, such as 51")
    half = points // 2
    return torch.arange(-half, half + 1, dtype=torch.float64) * (extent / half)


def directions(
    model: nn.Module, x: Tensor, y: Tensor, *, direction: Direction, seed: int, batch_size: int
) -> tuple[Tensor, Tensor]:
    """Return r and v (N, C, H, W): unit vectors for each image, orthogonal to each other."""
    parts = zip(x.split(batch_size), y.split(batch_size), strict=True)  # type: ignore[no-untyped-call]
    gradient = torch.cat([input_gradient(model, a, b, create_graph=False) for a, b in parts])
    generator = torch.Generator().manual_seed(seed)
    spare, v = (torch.randn(x.shape, generator=generator, dtype=torch.float64).to(x) for _ in range(2))
    r = gradient if direction == "normal" else attack_direction(gradient)
    flat = torch.where(r.flatten(1).norm(dim=1, keepdim=True) > 0, r.flatten(1), spare.flatten(1))
    flat = flat / flat.abs().amax(dim=1, keepdim=True)  # tiny gradients would lose their norm in float32
    flat = flat / flat.norm(dim=1, keepdim=True)
    other = v.flatten(1)
    for _ in range(2):
        other = other - (other * flat).sum(dim=1, keepdim=True) * flat
    other = other / other.norm(dim=1, keepdim=True)
    return flat.view_as(x), other.view_as(x)


def _losses(model: nn.Module, x: Tensor, y: Tensor, r: Tensor, v: Tensor, offsets: Tensor) -> Tensor:
    """Return the losses (n, offsets) of n images moved by each pair of offsets."""
    shape = (1, len(offsets), 1, 1, 1)
    i, j = (offsets[:, k].view(shape) for k in range(2))
    moved = x.unsqueeze(1) + i * r.unsqueeze(1) + j * v.unsqueeze(1)
    logits = model(moved.flatten(0, 1))
    labels = y.repeat_interleave(len(offsets))
    return cross_entropy(logits, labels, reduction="none").view(len(x), len(offsets))
