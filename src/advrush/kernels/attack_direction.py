"""The unit direction of an FGSM step, along which L_lambda and input planes are measured."""

from __future__ import annotations

import torch
from torch import Tensor


def attack_direction(g: Tensor) -> Tensor:
    """Return `sign(g) / ||sign(g)||_2` for each example, detached; zero where g is zero."""
    z = g.detach().sign()
    norm: Tensor = torch.linalg.vector_norm(z.flatten(1), dim=1).clamp_min(1.0)
    return z / norm.view(-1, *[1] * (z.dim() - 1))
