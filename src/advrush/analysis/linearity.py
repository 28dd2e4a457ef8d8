"""Test whether a network is piecewise linear at given images, by its second derivative."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from advrush.errors import ModelContractError
from advrush.modes import evaluating, frozen


def second_derivative(model: nn.Module, x: Tensor, *, seed: int = 0) -> Tensor:
    """Return, for each image, the size of the logits' second derivative beside that of the first.

    For random u and c it is `||d/dx (u . d/dx (c . f(x)))|| / (||d/dx (c . f(x))|| * ||u||)`, shape (N,), in units of
    1 / pixel. It is exactly zero where f is linear around x, and not zero with probability one where f is curved there.
    The model runs in eval mode and in x's precision. Raises ModelContractError where the output does not depend on x
    by differentiable operations, or has no second derivative.
    """
    generator = torch.Generator().manual_seed(seed)
    u = torch.randn(x.shape, generator=generator, dtype=torch.float64).to(x)
    with evaluating(model), frozen(model), torch.enable_grad():
        x = x.detach().requires_grad_(True)
        logits = model(x)
        if not logits.requires_grad:
            raise ModelContractError("the model's output does not depend on the image by differentiable operations")
        c = torch.randn(logits.shape, generator=generator, dtype=torch.float64).to(logits)
        (gradient,) = torch.autograd.grad((c * logits).sum(), x, create_graph=True)
        first = gradient.detach().flatten(1).norm(dim=1) * u.flatten(1).norm(dim=1)
        if not gradient.requires_grad:
            return torch.zeros_like(first)
        try:
            second: Tensor | None = torch.autograd.grad((gradient * u).sum(), x, allow_unused=True)[0]
        except (RuntimeError, NotImplementedError) as error:
            raise ModelContractError(f"the model has no second derivative: {error}") from None
    if second is None:
        return torch.zeros_like(first)
    size: Tensor = second.flatten(1).norm(dim=1) / first.clamp_min(torch.finfo(first.dtype).tiny)
    return size


def piecewise_linear(model: nn.Module, x: Tensor) -> bool:
    """Tell whether the logits are linear around each of the images x (N, C, H, W), up to rounding."""
    return bool((second_derivative(model, x) <= 1e3 * torch.finfo(x.dtype).eps).all())
