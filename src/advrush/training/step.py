"""One training step: adversarial examples, gradients, update; micro-batches, half precision, several processes."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import cast

import torch
from torch import Tensor, nn

from advrush.attacks.passes.upload import upload
from advrush.parallel import Parallel
from advrush.training.config import TrainConfig
from advrush.training.objectives import Objective, gradients

GRADIENT_SCALE = 2.0**12
"""Factor on the attack's loss in float16, in which the gradient of a confident example would vanish."""


class Stepper:
    """Takes steps on a model; the optimizer and the scaler of float16 are its state besides."""

    def __init__(self, config: TrainConfig, model: nn.Module, processes: Parallel, objective: Objective) -> None:
        self.config, self.processes, self.objective = config, processes, objective
        self.model = cast(nn.Module, torch.compile(model)) if config.compile else model
        self.parameters = list(model.parameters())
        o = config.optimizer
        self.optimizer = torch.optim.SGD(self.parameters, o.lr, o.momentum, weight_decay=o.weight_decay)
        half = config.precision == "float16"
        self.scaler = torch.amp.GradScaler(processes.device.type, enabled=half)
        self.attacked: nn.Module = GradientScale(self.model) if half else self.model

    def __call__(self, x: Tensor, y: Tensor, generator: torch.Generator, *, lr: float, awp: float = 0.0) -> Tensor:
        """Take one step on x (N, C, H, W) and y (N,); return loss and accuracy (2,) without waiting for the device."""
        self.model.train()
        if self.config.channels_last:
            x = x.contiguous(memory_format=torch.channels_last)
        noise = self._noise(x, generator)
        totals = torch.zeros(2, dtype=torch.float64, device=x.device)
        whole: list[Tensor] = []
        for part in parts(len(x), self._part(len(x))):
            found, loss, logits = self._gradients(x[part], y[part], noise[part], awp)
            share = len(logits) / len(x)
            whole = (
                [share * g for g in found] if not whole else [w.add_(g, alpha=share) for w, g in _pairs(whole, found)]
            )
            correct = (logits.argmax(1) == y[part]).double().mean()
            totals += share * torch.stack([loss.double(), correct])
        self.processes.average_(whole)
        for parameter, gradient in _pairs(self.parameters, whole):
            parameter.grad = gradient
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.scaler.unscale_(self.optimizer)
        nn.utils.clip_grad_norm_(self.parameters, self.config.optimizer.clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return totals

    def _gradients(self, x: Tensor, y: Tensor, noise: Tensor, awp: float) -> tuple[list[Tensor], Tensor, Tensor]:
        with self._autocast():
            x_adv = self.objective.perturb(self.attacked, x, y, noise)
        with self._autocast():
            return gradients(
                self.objective,
                self.model,
                x,
                x_adv,
                y,
                awp=awp,
                scale=self.scaler.scale,
                average=self.processes.average_,
            )

    def _noise(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Return this process's rows of the normal noise of the batch of all processes."""
        whole = torch.randn(len(x) * self.processes.world, *x.shape[1:], generator=generator)
        return upload(whole[self.processes.rank :: self.processes.world], x)

    def _autocast(self) -> AbstractContextManager[None]:
        dtype = getattr(torch, self.config.precision)
        return nullcontext() if dtype == torch.float32 else torch.autocast(self.processes.device.type, dtype)

    def _part(self, count: int) -> int:
        """Return how many of a process's `count` examples go through at once."""
        if self.config.micro_batch is None:
            return count
        return max(1, self.config.micro_batch // self.processes.world)


def parts(count: int, size: int) -> list[slice]:
    """Return slices of at most `size` of `count` examples; no last one of a single example, which batch norm refuses.

    Where one example would be left over, the part before it gives one of its own (of three or more).
    """
    starts = list(range(0, count, size))
    if count % size == 1 and size > 2 and len(starts) > 1:
        starts[-1] -= 1
    return [slice(start, stop) for start, stop in zip(starts, [*starts[1:], count], strict=True)]


class GradientScale(nn.Module):
    """Loss scaling for the attack's input gradients in float16: multiplied by a constant, so that none underflows."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        """Return the model's logits."""
        logits: Tensor = self.model(x)
        if logits.requires_grad:
            logits.register_hook(lambda gradient: GRADIENT_SCALE * gradient)  # type: ignore[no-untyped-call]
        return logits


def _pairs(first: list[Tensor] | list[nn.Parameter], second: list[Tensor]) -> zip[tuple[Tensor, Tensor]]:
    return zip(first, second, strict=True)
