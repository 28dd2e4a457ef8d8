"""A curve of weights between two networks: the quadratic Bezier curve of Eq. 2 and the training of its bend."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator
from typing import TypedDict

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from advrush.config import check
from advrush.data import Split
from advrush.data.batches import epoch_batches
from advrush.errors import ConfigError
from advrush.models.normalize import Normalized
from advrush.schedule import cosine

MOMENTUM = 0.9
CLIP = 5.0
"""Largest 2-norm of a step's gradients together."""


class BendState(TypedDict):
    """How far the training of a bend has come: `torch.load(weights_only=True)` reads it back."""

    losses: list[float]
    bend: dict[str, Tensor]
    velocity: dict[str, Tensor]


class BezierPath:
    """`w(t) = (1 - t)^2 w_0 + 2 t (1 - t) b + t^2 w_1` for t from 0 to 1, with the bend b half way at first.

    Both networks must have the same parameters; the networks themselves are not changed. A network may begin with a
    normalization that the other lacks: it is an affine layer, whose scale and shift go straight from one to the other.
    """

    def __init__(self, start: nn.Module, end: nn.Module) -> None:
        first, last = _inner(start), _inner(end)
        self.start = {name: parameter.detach().clone() for name, parameter in first.named_parameters()}
        self.end = {name: parameter.detach().clone() for name, parameter in last.named_parameters()}
        _check_alike(self.start, self.end)
        self.bend = {name: (w + self.end[name]) / 2 for name, w in self.start.items()}
        self._scales = (_affine(start), _affine(end))
        self.network = _Scaled(copy.deepcopy(first))

    def to(self, device: torch.device) -> None:
        """Move all to a device."""
        self.network.to(device)
        self.start, self.bend, self.end = (
            {name: w.to(device) for name, w in each.items()} for each in (self.start, self.bend, self.end)
        )

    def weights(self, t: float) -> dict[str, Tensor]:
        """Return the parameters at t."""
        a, b, c = coefficients(t)
        return {name: a * w + b * self.bend[name] + c * self.end[name] for name, w in self.start.items()}

    def move(self, t: float) -> nn.Module:
        """Return the path's one network with the parameters at t; its batch-norm statistics stay."""
        with torch.no_grad():
            for name, w in self.weights(t).items():
                self.network.model.get_parameter(name).copy_(w)
        (s0, b0), (s1, b1) = self._scales
        like = next(self.network.parameters())
        self.network.scale = ((1 - t) * s0 + t * s1).to(like)
        self.network.shift = ((1 - t) * b0 + t * b1).to(like)
        return self.network

    def at(self, t: float, batches: Iterable[Tensor]) -> nn.Module:
        """Return the path's one network at t in eval mode, its batch-norm statistics measured anew on `batches`.

        They are the averages over batches of one size of the batch's mean and unbiased variance.
        """
        network = self.move(t)
        recompute_statistics(network, batches)
        return network


def coefficients(t: float) -> tuple[float, float, float]:
    """Return what start, bend and end weigh at t."""
    return (1 - t) ** 2, 2 * t * (1 - t), t**2


def train_bend(
    path: BezierPath,
    split: Split,
    *,
    epochs: int,
    batch_size: int,
    lr: float = 0.01,
    weight_decay: float = 0.0,
    seed: int = 0,
    each_epoch: Callable[[int, Iterator[tuple[Tensor, Tensor]]], Iterable[tuple[Tensor, Tensor]]] | None = None,
    state: BendState | None = None,
    on_epoch: Callable[[BendState], None] | None = None,
) -> list[float]:
    """Train the bend so that the cross-entropy is low along the path (Garipov et al. 2018); return it by epoch.

    Each step draws t evenly from 0 to 1 and descends the batch's loss at w(t), batch norms on the batch's statistics;
    the bend's gradient is `2 t (1 - t)` times that of w(t). SGD with momentum 0.9, a cosine to 0.
    Images go as they are, without augmentation. `each_epoch(epoch, batches)` may pass them through a progress bar.
    `on_epoch` gets after each epoch what, given as `state`, makes an interrupted training end as one left alone.
    """
    device = next(path.network.parameters()).device
    generator = torch.Generator().manual_seed(seed)
    velocity = {name: torch.zeros_like(b) for name, b in path.bend.items()}
    steps = epochs * (len(split) // batch_size)
    losses: list[float] = []
    if state is not None:
        losses = list(state["losses"])
        for name, b in path.bend.items():
            b.copy_(state["bend"][name])
            velocity[name].copy_(state["velocity"][name])
    step = len(losses) * (len(split) // batch_size)
    for _ in range(step):  # one number a step
        torch.rand((), generator=generator, dtype=torch.float64)
    for epoch in range(len(losses), epochs):
        total, count = 0.0, 0
        batches = epoch_batches(split, batch_size=batch_size, seed=seed, epoch=epoch)
        for x, y in each_epoch(epoch, batches) if each_epoch else batches:
            t = float(torch.rand((), generator=generator, dtype=torch.float64))
            loss = _descend(
                path, x.to(device), y.to(device), t=t, velocity=velocity, weight_decay=weight_decay,
                rate=cosine(lr, 0.0, step, total=steps),
            )  # fmt: skip
            total, count, step = total + loss, count + 1, step + 1
        losses.append(total / count)
        if on_epoch is not None:
            on_epoch({"losses": list(losses), "bend": path.bend, "velocity": velocity})
    return losses


def _descend(
    path: BezierPath, x: Tensor, y: Tensor, *, t: float, velocity: dict[str, Tensor], weight_decay: float, rate: float
) -> float:
    """Take one step of the bend; return the loss before it."""
    network = path.move(t)
    _train_mode(network)
    parameters = dict(path.network.model.named_parameters())
    with torch.enable_grad():
        loss = cross_entropy(network(x), y)
        found = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
    share = coefficients(t)[1]
    gradients = {
        name: share * ((torch.zeros_like(w) if g is None else g) + weight_decay * w.detach())
        for (name, w), g in zip(parameters.items(), found, strict=True)
    }
    norm = math.sqrt(sum(float(g.square().sum()) for g in gradients.values()))
    clip = min(1.0, CLIP / norm) if norm > 0 else 1.0
    for name, g in gradients.items():
        velocity[name].mul_(MOMENTUM).add_(g, alpha=clip)
        path.bend[name].sub_(velocity[name], alpha=rate)
    return float(loss.detach())


def recompute_statistics(model: nn.Module, batches: Iterable[Tensor]) -> None:
    """Replace the batch norms' running statistics by the averages over the batches; leave the model in eval mode."""
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm) and module.track_running_stats]
    before = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # torch then takes the average of all batches
    _train_mode(model)
    try:
        with torch.no_grad():
            for x in batches if norms else ():
                model(x)
    finally:
        for norm, momentum in zip(norms, before, strict=True):
            norm.momentum = momentum
        model.eval()


def _train_mode(model: nn.Module) -> None:
    """Set train mode for all but dropout."""
    model.train()
    for module in model.modules():
        if isinstance(module, _DropoutNd):
            module.eval()


class _Scaled(nn.Module):
    """A network behind an affine change of the pixels, by channel."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model.requires_grad_(True)
        self.scale: Tensor
        self.shift: Tensor
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("shift", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """Return the network's logits."""
        logits: Tensor = self.model(x * self.scale.to(x.dtype) + self.shift.to(x.dtype))
        return logits


def _inner(model: nn.Module) -> nn.Module:
    return model.model if isinstance(model, Normalized) else model


def _affine(model: nn.Module) -> tuple[Tensor, Tensor]:
    """Return scale and shift of a network's normalization, float64; 1 and 0 where it has none."""
    if not isinstance(model, Normalized):
        return torch.ones((1, 1, 1, 1), dtype=torch.float64), torch.zeros((1, 1, 1, 1), dtype=torch.float64)
    mean, std = model.mean.detach().cpu().double(), model.std.detach().cpu().double()
    return 1 / std, -mean / std


def _check_alike(start: dict[str, Tensor], end: dict[str, Tensor]) -> None:
    different = sorted(set(start) ^ set(end))
    different = different or [name for name in start if start[name].shape != end[name].shape]
    expected = "two networks of one architecture and size"
    if different:
        name = different[0]
        first, second = (f"shape {tuple(each[name].shape)}" if name in each else "none" for each in (start, end))
        raise ConfigError(
            f"parameter {name}: got {first} in the first network and {second} in the second; expected {expected}"
        )
    check(bool(start), "parameters", "none", expected)
