"""The result of either method for the spectrum of the input Hessian of a batch."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Part:
    """The fields of InputSpectrum for one batch, float64."""

    eigenvalues: Tensor
    lambda_max: Tensor
    lambda_error: Tensor
    frobenius: Tensor
    frobenius_error: Tensor
    trace: Tensor
    trace_error: Tensor
    cosine: Tensor
    gradient_norm: Tensor


def cosine(gradient: Tensor, vector: Tensor) -> Tensor:
    """Return |g . v| / (||g|| ||v||) for rows (N, D); 0 where one of them is zero."""
    norms = gradient.norm(dim=1) * vector.norm(dim=1)
    product = (gradient * vector).sum(dim=1).abs()
    return torch.where(norms > 0, product / torch.where(norms > 0, norms, 1.0), torch.zeros_like(norms))
