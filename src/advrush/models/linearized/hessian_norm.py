"""The exact Frobenius norm of the input Hessian and its gradient with respect to alpha, by linear passes.

While no ReLU or max pool changes its mask the logits f are linear in x, so that with p = softmax(f), J = df/dx,
S = diag(p) - p p^T and G = J J^T (K x K) the Hessian of the cross-entropy is H = J^T S J, whatever the label, and

    ||H||_F^2 = tr(S G S G),    d||H||_F = (2 <S G S J, dJ> + <dS, G S G>) / ||H||_F.

J takes K VJPs. The first term is the sum over the classes k of the edge gradients of a JVP, with the cotangent e_k and
the tangent (S G S J)_k; the second is the edge gradient of one VJP. No double backward, no finite difference.
"""

from __future__ import annotations

import torch
from torch import Tensor

from advrush.models.linearized.cell import EdgeGradients, LinearizedCell
from advrush.models.linearized.curvature import scatter, to_alpha
from advrush.models.linearized.supernet import FoldedSupernet, LinearizedSupernet
from advrush.models.supernet import Supernet


def hessian_norm_gradients(supernet: Supernet, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the mean over the examples of ||H||_F and its gradient with respect to each kind's alpha, detached.

    `supernet` consists of chains only (`curvature.is_supported`); its running statistics are taken as they are. `x` are
    normalized inputs (N, C, H, W). The K x K matrices are computed in float64: p is often nearly one-hot.
    """
    with torch.no_grad():
        x = x.detach().contiguous(memory_format=torch.channels_last)
        net = FoldedSupernet(supernet)
        point = LinearizedSupernet(net, x)
        p = point.logits.double().softmax(dim=1)
        classes = torch.eye(p.shape[1], dtype=x.dtype, device=x.device)
        found = [point.vjp(row.expand(len(x), -1)) for row in classes]
        jacobian = torch.stack([row.flatten(1) for row, _ in found], dim=1)
        s, g = torch.diag_embed(p) - p[:, :, None] * p[:, None, :], _gram(jacobian)
        sgs, gsg = s @ g @ s, g @ s @ g
        norms = (sgs @ g).diagonal(dim1=1, dim2=2).sum(dim=1).clamp_min(0).sqrt()
        share = 1 / torch.where(norms == 0, 1.0, norms) / len(x)
        tangents = ((2 * share)[:, None, None] * sgs).to(x.dtype) @ jacobian
        by_weight = {kind: torch.zeros(s, dtype=x.dtype, device=x.device) for kind, s in net.shapes.items()}
        for k, (_, cotangents) in enumerate(found):
            _, gradients = point.jvp(_like(tangents[:, k], x), cotangents)
            _add(by_weight, point, gradients)
        slope = gsg.diagonal(dim1=1, dim2=2) - 2 * (gsg @ p[:, :, None])[:, :, 0]
        c = share[:, None] * p * (slope - (p * slope).sum(dim=1, keepdim=True))
        _add(by_weight, point, point.edge_gradients(c.to(x.dtype)))
    return norms.mean().to(x.dtype), to_alpha(supernet, by_weight)


def _gram(jacobian: Tensor) -> Tensor:
    """Return J J^T (N, K, K) in float64 for J (N, K, D)."""
    return (jacobian @ jacobian.transpose(1, 2)).double()


def _like(rows: Tensor, x: Tensor) -> Tensor:
    return rows.view_as(x).contiguous(memory_format=torch.channels_last)


def _add(by_weight: dict[str, Tensor], point: LinearizedSupernet, gradients: list[EdgeGradients]) -> None:
    for cell, of_cell in zip(point.cells, gradients, strict=True):
        if isinstance(cell, LinearizedCell):
            scatter(by_weight[cell.cell.kind], of_cell)
