"""The input Hessian of any twice differentiable network, by Lanczos on Hessian-vector products."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from advrush.analysis.lanczos import Ritz, lanczos
from advrush.analysis.spectrum_parts import BatchSpectrum, cosine
from advrush.errors import ModelContractError


class HessianProducts:
    """Products of the input Hessians with vectors: one graph of the gradient, kept for all of them."""

    def __init__(self, model: nn.Module, x: Tensor, y: Tensor) -> None:
        self.x = x.detach().requires_grad_(True)
        with torch.enable_grad():
            loss = cross_entropy(model(self.x), y, reduction="sum")
            if not loss.requires_grad:
                raise ModelContractError("the model's output does not depend on the image by differentiable operations")
            (self.gradient,) = torch.autograd.grad(loss, self.x, create_graph=True)

    def __call__(self, v: Tensor) -> Tensor:
        """Return H v for each image, (N, D) to (N, D)."""
        if not self.gradient.requires_grad:
            return torch.zeros_like(v)
        try:
            (product,) = torch.autograd.grad(
                self.gradient, self.x, v.view_as(self.gradient), retain_graph=True, allow_unused=True
            )
        except (RuntimeError, NotImplementedError) as error:
            raise ModelContractError(f"the model has no second derivative: {error}") from None
        return torch.zeros_like(v) if product is None else product.flatten(1)


def lanczos_spectrum(
    model: nn.Module, x: Tensor, y: Tensor, *, tolerance: float, steps: int, probes: int, whole: bool,
    generator: torch.Generator,
) -> BatchSpectrum:  # fmt: skip
    """Return the spectrum for images x (N, C, H, W) and labels y; model and x in float64, eval mode, frozen.

    Trace and ||H||_F^2 are sums over the span of Lanczos's vectors Q, exact, and over its complement, estimated from
    `probes` random sign vectors v there: `v . H v` and `||H v||^2` (Hutchinson; with the deflation of Hutch++).
    """
    product = HessianProducts(model, x, y)
    size = (len(x), x[0].numel())
    ritz = lanczos(product, size, steps=steps, tolerance=0.0 if whole else tolerance, generator=generator, like=x)
    traces, squares = _outside(product, ritz, probes, generator)
    # H Q = Q diag(values) + (one vector) (bounds)^T: the squares of both add up
    inside = ritz.values.square().sum(dim=1) + ritz.bounds.square().sum(dim=1)
    frobenius = (squares.mean(dim=0) + inside).sqrt()
    gradient = product.gradient.detach().flatten(1)
    return BatchSpectrum(
        ritz.values, ritz.values[:, 0], ritz.bounds[:, 0],
        frobenius, _standard_error(squares) / (2 * frobenius).clamp_min(torch.finfo(x.dtype).tiny),
        traces.mean(dim=0) + ritz.values.sum(dim=1), _standard_error(traces),
        cosine(gradient, ritz.vectors[:, 0]), gradient.norm(dim=1),
    )  # fmt: skip


def _outside(product: HessianProducts, ritz: Ritz, probes: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return estimates (probes, N) of tr(P H P) and ||H P||_F^2, P projecting on the complement of Lanczos's vectors.

    Where these span the whole space, one row of zeros.
    """
    q = ritz.vectors
    count, steps, size = q.shape
    traces, squares = [], []
    for _ in range(probes if steps < size else 0):
        signs = torch.randint(0, 2, (count, size), generator=generator, dtype=torch.int64)
        v = (2.0 * signs - 1.0).to(q)
        v = v - torch.einsum("nm,nmd->nd", torch.einsum("nmd,nd->nm", q, v), q)
        hv = product(v)
        traces.append((v * hv).sum(dim=1))
        squares.append(hv.square().sum(dim=1))
    zero = q.new_zeros((1, count))
    return (torch.stack(traces), torch.stack(squares)) if traces else (zero, zero)


def _standard_error(samples: Tensor) -> Tensor:
    """Return the standard error (N,) of the mean of (probes, N); 0 for one row of zeros, infinite for one sample."""
    count = len(samples)
    if count == 1:
        return torch.where(samples[0] == 0, 0.0, torch.inf).to(samples)
    error: Tensor = samples.std(dim=0) / count**0.5
    return error
