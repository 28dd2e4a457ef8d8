"""Forward and backward passes of a batch in chunks that fit the memory."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn

from advrush.attacks.passes.memory import most_at_once

PIECE = 32 * 3 * 32 * 32
"""Pixel values in a pass on one CPU thread, 32 images of CIFAR-10: so the activations stay in its caches, while small
images are enough to outweigh the cost of calling. A GPU takes the whole batch."""

FORWARD_ALONE = 4
"""Passes without a graph keep no activations: so many times as many examples go together."""

Value = Callable[[Tensor, slice], Tensor]
"""From the logits (n, K) of some rows of a batch, and these rows, to one value (n,) for each."""


def pieces(x: Tensor, times: int = 1) -> list[slice]:
    """Return the rows that go through the model together: parts of like size, near `times` `PIECE` on a CPU.

    None has more examples than memory was seen to hold (`passes.memory`).
    """
    fitting = times * PIECE * torch.get_num_threads() / max(x[:1].numel(), 1)
    count = max(1, min(len(x), round(len(x) / fitting))) if x.device.type == "cpu" else 1
    most = most_at_once()
    count = count if most is None else max(count, -(-len(x) // most))
    ends = [len(x) * number // count for number in range(count + 1)]
    return [slice(start, end) for start, end in pairwise(ends) if end > start]


def predict(model: nn.Module, x: Tensor) -> Tensor:
    """Return the logits (N, K), without a graph."""
    with torch.no_grad():
        parts = [model(x[rows]) for rows in pieces(x, FORWARD_ALONE)]
        return parts[0] if len(parts) == 1 else torch.cat(parts)


def device_of(model: nn.Module, otherwise: torch.device) -> torch.device:
    """Return where the model's parameters lie; `otherwise` for a model without any."""
    return next((parameter.device for parameter in model.parameters()), otherwise)


def gradient(model: nn.Module, x: Tensor, value: Value) -> tuple[Tensor, Tensor, Tensor]:
    """Return the logits (N, K), each example's value (N,) and that value's gradient with respect to it."""
    logits, values, gradients = [], [], []
    for rows in pieces(x):
        part = x[rows].detach().requires_grad_(True)
        with torch.enable_grad():
            output = model(part)
            each = value(output, rows)
            total = each.sum()
        gradients.append(_input_gradient(total, part))
        logits.append(output.detach())
        values.append(each.detach())
    return torch.cat(logits), torch.cat(values), torch.cat(gradients)


def _input_gradient(total: Tensor, part: Tensor) -> Tensor:
    """Return the gradient, or zeros if the output does not depend on the input (reported by `checks`).

    In the layout of the examples: what is computed from both is several times slower where they differ.
    """
    if not total.requires_grad:
        return torch.zeros_like(part)
    found = torch.autograd.grad(total, part, materialize_grads=True)[0]
    return found if found.stride() == part.stride() else torch.empty_like(part).copy_(found)


def by_pieces(attack: Callable[[Tensor], tuple[Tensor, Tensor]], x: Tensor) -> tuple[Tensor, Tensor]:
    """Return points and flags of the whole batch `x`, attacked in pieces whose state stays in a CPU's caches."""
    places = torch.arange(len(x), device=x.device)
    points, broken = zip(*(attack(places[rows]) for rows in pieces(x)), strict=True)
    return torch.cat(points), torch.cat(broken)
