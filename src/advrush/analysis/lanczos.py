"""Lanczos iteration on many symmetric matrices at once, each known by its products with vectors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Product = Callable[[Tensor], Tensor]
"""Maps one vector for each matrix, (N, D), to the products (N, D)."""

CHECKED = 5
"""Steps from one check of the error bounds to the next."""


@dataclass(frozen=True, eq=False)
class Ritz:
    """Approximate eigenvalues (N, m), falling, with orthonormal vectors (N, m, D) and error bounds (N, m).

    Within its bound of each value lies an eigenvalue of the matrix.
    """

    values: Tensor
    vectors: Tensor
    bounds: Tensor


def lanczos(
    product: Product, size: tuple[int, int], *, steps: int, tolerance: float, generator: torch.Generator, like: Tensor
) -> Ritz:
    """Run Lanczos on N matrices D x D, (N, D) being `size`, from random vectors, fully reorthogonalized.

    It stops after `steps` products, or when the error bound of every matrix's largest eigenvalue is at most
    `tolerance` times that eigenvalue. Where a Krylov space is used up, a new random vector continues it.
    `like` gives device and precision.
    """
    count, width = size
    steps = min(steps, width)
    basis = like.new_zeros((count, steps, width))
    alphas, betas = like.new_zeros((count, steps)), like.new_zeros((count, steps))
    scale = like.new_zeros(count)
    basis[:, 0] = _fresh(basis[:, :0], generator)
    for step in range(steps):
        w = product(basis[:, step])
        alphas[:, step] = (w * basis[:, step]).sum(dim=1)
        scale = torch.maximum(scale, w.norm(dim=1))
        w = _orthogonal(w, basis[:, : step + 1])
        norm = w.norm(dim=1)
        live = norm > 1e3 * torch.finfo(w.dtype).eps * scale
        betas[:, step] = torch.where(live, norm, 0.0) if step + 1 < width else 0.0
        last = step + 1 == steps
        if last or step % CHECKED == CHECKED - 1 or not live.any():
            values, inner, bounds = _tridiagonal(alphas[:, : step + 1], betas[:, : step + 1])
            if last or bool((bounds[:, 0] <= tolerance * values[:, 0].abs()).all()):
                break
        following = w / torch.where(live, norm, 1.0).unsqueeze(1)
        if not live.all():
            following = torch.where(live.unsqueeze(1), following, _fresh(basis[:, : step + 1], generator))
        basis[:, step + 1] = following
    vectors = torch.einsum("njm,njd->nmd", inner, basis[:, : inner.shape[1]])
    return Ritz(values, vectors, bounds)


def _orthogonal(w: Tensor, basis: Tensor) -> Tensor:
    """Return w without its parts along the basis (N, j, D); twice is enough for orthogonality to rounding."""
    for _ in range(2):
        w = w - torch.einsum("nj,njd->nd", torch.einsum("njd,nd->nj", basis, w), basis)
    return w


def _fresh(basis: Tensor, generator: torch.Generator) -> Tensor:
    """Return random unit vectors (N, D) orthogonal to the basis."""
    shape = (basis.shape[0], basis.shape[2])
    w = _orthogonal(torch.randn(shape, generator=generator, dtype=torch.float64).to(basis), basis)
    unit: Tensor = w / w.norm(dim=1, keepdim=True)
    return unit


def _tridiagonal(alphas: Tensor, betas: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return falling eigenvalues (N, m), eigenvectors (N, j, m) and residuals of the tridiagonal matrices."""
    matrix = torch.diag_embed(alphas)
    if alphas.shape[1] > 1:
        off = betas[:, :-1]
        matrix = matrix + torch.diag_embed(off, 1) + torch.diag_embed(off, -1)
    values, vectors = torch.linalg.eigh(matrix)
    values, vectors = values.flip(1), vectors.flip(2)
    return values, vectors, betas[:, -1:] * vectors[:, -1].abs()
