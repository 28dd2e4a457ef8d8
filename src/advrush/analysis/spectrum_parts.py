"""The result of either method for the spectrum of the input Hessian of a batch."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class BatchSpectrum:
    """Of the images of a batch: the input Hessian's numbers in units of loss / pixel^2, all float64."""

    eigenvalues: Tensor
    """(N, m), falling: all that are not zero where the method is exact; else the m approximate ones of Lanczos."""
    lambda_max: Tensor
    """(N,): the largest eigenvalue."""
    lambda_error: Tensor
    """(N,): bound of the error of lambda_max; of rounding where the method is exact."""
    frobenius: Tensor
    """(N,): ||H||_F, the ideal L_lambda of the paper."""
    frobenius_error: Tensor
    """(N,): standard error of the estimate of frobenius; 0 where nothing was estimated."""
    trace: Tensor
    """(N,): sum of the eigenvalues."""
    trace_error: Tensor
    """(N,): standard error of the estimate of trace."""
    cosine: Tensor
    """(N,): c of Theorem 1, |g . v| / ||g|| for the gradient g and the eigenvector v of lambda_max."""
    gradient_norm: Tensor
    """(N,): ||g||_2."""


def cosine(gradient: Tensor, vector: Tensor) -> Tensor:
    """Return |g . v| / (||g|| ||v||) for rows (N, D); 0 where one of them is zero."""
    norms = gradient.norm(dim=1) * vector.norm(dim=1)
    product = (gradient * vector).sum(dim=1).abs()
    return torch.where(norms > 0, product / torch.where(norms > 0, norms, 1.0), torch.zeros_like(norms))
