"""The input Hessian of a piecewise linear network: its whole spectrum from one product for each class."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from advrush.analysis.spectrum_parts import BatchSpectrum, cosine
from advrush.errors import ModelContractError


def exact_spectrum(model: nn.Module, x: Tensor, y: Tensor) -> BatchSpectrum:
    """Return the spectrum for images x (N, C, H, W) and labels y; the model is frozen and in eval mode.

    Model and x are in float64, or in float32 where six digits are enough.

    With p = softmax(f(x)) and J = df/dx, `H = J^T (diag p - p p^T) J = B^T B`, where row k of B is
    `sqrt(p_k) (e_k - p)^T J`: one vector-Jacobian product. The eigenvalues of H that are not zero are those of the
    K x K matrix B B^T. The cotangents are formed without subtracting nearly equal numbers, so that images that the
    network is sure of keep their relative accuracy.
    """
    x = x.detach().requires_grad_(True)
    with torch.enable_grad():
        logits = model(x)
        if not logits.requires_grad:
            raise ModelContractError("the model's output does not depend on the image by differentiable operations")
        p = logits.detach().softmax(dim=1)
        rows = [
            torch.autograd.grad(logits, x, cotangent, retain_graph=True)[0].flatten(1)
            for cotangent in (*_cotangents(p), gradient_cotangent(p, y))
        ]
    b, g = torch.stack(rows[:-1], dim=1).double(), rows[-1].double()  # float32 would underflow in the squares
    gram = b @ b.transpose(1, 2)
    values, vectors = torch.linalg.eigh(gram)
    values = values.clamp_min(0.0).flip(1)
    top = torch.einsum("nk,nkd->nd", vectors[:, :, -1], b)
    rounding = torch.finfo(x.dtype).eps * gram.diagonal(dim1=1, dim2=2).sum(dim=1)
    return BatchSpectrum(
        values[:, : max(1, values.shape[1] - 1)], values[:, 0], rounding,
        values.square().sum(dim=1).sqrt(), torch.zeros_like(rounding),
        gram.diagonal(dim1=1, dim2=2).sum(dim=1), torch.zeros_like(rounding),
        cosine(g, top), g.norm(dim=1),
    )  # fmt: skip


def gradient_cotangent(p: Tensor, y: Tensor) -> Tensor:
    """Return dloss/dlogits = p - e_y (N, K), its entry for y as minus the sum of the others' probabilities."""
    hot = one_hot(y, p.shape[1]).bool()
    others = p.masked_fill(hot, 0.0)
    return torch.where(hot, -others.sum(dim=1, keepdim=True), others)


def _cotangents(p: Tensor) -> list[Tensor]:
    """Return sqrt(p_k) (e_k - p) for each class k, each (N, K)."""
    index = torch.arange(p.shape[1], device=p.device)
    return [
        -p[:, k : k + 1].sqrt() * gradient_cotangent(p, torch.full_like(index[:1], k).expand(len(p)))
        for k in range(p.shape[1])
    ]
