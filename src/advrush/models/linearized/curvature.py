"""The gradient of L_lambda with respect to alpha, without double backward: four linear passes at each of two points.

With u = (g(x + h z) - g(x)) / ||.|| / N held fixed, dL_lambda/dalpha is the derivative of
<u, g(x + h z)> - <u, g(x)>, and g = J^T r with r = softmax(f) - onehot(y). While no ReLU or max pool changes its mask,
f is linear in x and in the weight of every single edge, so that for t = +u or -u

    d<t, g> = <r, dJ t> + <s, df>,    s = (diag(p) - p p^T) J t.

The first term is the edge gradient of a JVP: it pairs the cotangents of r, known from computing g, with the tangents
of t. The second is the edge gradient of a VJP of s. Nothing but cell states and activation masks is kept.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple, cast

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from advrush.kernels.attack_direction import attack_direction
from advrush.models.fused.conv_chain import is_linear_given_statistics, read_branches, read_chain
from advrush.models.fused.terms import terms_of
from advrush.models.linearized.cell import EdgeGradients, LinearizedCell
from advrush.models.linearized.supernet import FoldedSupernet, LinearizedSupernet
from advrush.models.supernet import Cell, MixedEdge, Supernet


def curvature_gradients(supernet: Supernet, x: Tensor, y: Tensor, *, h: float) -> tuple[Tensor, dict[str, Tensor]]:
    """Return L_lambda (Eq. 9 and 10) and its gradient with respect to each kind's alpha, detached.

    Args:
        supernet: of chains only (see `is_supported`); its running statistics are taken as they are, mode and
            weights are not touched.
        x: normalized inputs (N, C, H, W).
        y: labels (N,), int64.
        h: length of the step along z.
    """
    with torch.no_grad():
        x = x.detach().contiguous(memory_format=torch.channels_last)
        net = FoldedSupernet(supernet)
        targets = one_hot(y, net.bias.numel()).to(x.dtype)
        here, g = _linearized(net, x, targets)
        there, g_h = _linearized(net, x + h * attack_direction(g), targets)
        difference = g_h - g
        norms = difference.flatten(1).norm(dim=1)
        u = difference / torch.where(norms == 0, 1.0, norms).view(-1, 1, 1, 1) / len(x)
        by_weight = {kind: torch.zeros(s, dtype=x.dtype, device=x.device) for kind, s in net.shapes.items()}
        for point, t in ((there, u), (here, -u)):
            _add_gradients(by_weight, point, t)
    return norms.mean(), to_alpha(supernet, by_weight)


def is_supported(supernet: Supernet) -> bool:
    """Tell whether every primitive is a chain of convolutions, ReLUs, pools and batch norms, which the passes know."""
    cells = [module for module in supernet.cells if isinstance(module, Cell)]
    if not all(cast(MixedEdge, edge).whole for cell in cells for edge in cell.edges):
        return False
    chains = [term.chain for cell in cells for term in terms_of(cell.topology, cell.primitives())]
    chains += [read_chain(module) for cell in cells for module in cell.preprocess]
    for block in supernet.cells:
        if not isinstance(block, Cell):
            chains += read_branches(block) or [None]
    return all(chain is not None and is_linear_given_statistics(chain) for chain in chains)


class _Point(NamedTuple):
    """The supernet linearized at a point, the softmax p (N, K) there, and the states' cotangents for r."""

    net: LinearizedSupernet
    p: Tensor
    cotangents: list[list[Tensor]]


def _linearized(net: FoldedSupernet, x: Tensor, targets: Tensor) -> tuple[_Point, Tensor]:
    """Return the supernet at x, and the gradient (N, C, H, W) of each example's cross-entropy."""
    point = LinearizedSupernet(net, x)
    p = point.logits.softmax(dim=1)
    g, cotangents = point.vjp(p - targets)
    return _Point(point, p, cotangents), g


def _add_gradients(by_weight: dict[str, Tensor], point: _Point, t: Tensor) -> None:
    """Add d<t, g>/dw for the weight w of every edge and primitive."""
    net, p, cotangents = point
    jt, of_jvp = net.jvp(t, cotangents)
    s = p * (jt - (p * jt).sum(dim=1, keepdim=True))
    for cell, *both in zip(net.cells, of_jvp, net.edge_gradients(s), strict=True):
        if isinstance(cell, LinearizedCell):
            for gradients in both:
                scatter(by_weight[cell.cell.kind], gradients)


def scatter(matrix: Tensor, gradients: EdgeGradients) -> None:
    """Add a cell's edge gradients to the matrix (edges, primitives) of its kind."""
    places = _places(tuple((term.row, term.column) for term in gradients), matrix.device)
    matrix.index_put_(places, torch.stack(list(gradients.values())), accumulate=True)


@lru_cache(maxsize=1024)
def _places(pairs: tuple[tuple[int, int], ...], device: torch.device) -> tuple[Tensor, Tensor]:
    """Return rows and columns on the device: made once, since the host would wait for each copy."""
    rows, columns = zip(*pairs, strict=True)
    return torch.tensor(rows, device=device), torch.tensor(columns, device=device)


def to_alpha(supernet: Supernet, by_weight: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the gradients of alpha from those of the weights that the supernet makes of it."""
    with torch.enable_grad():
        weights = supernet.edge_weights()
        kinds = list(weights)
        gradients = torch.autograd.grad(
            [weights[kind] for kind in kinds],
            [supernet.alphas()[kind] for kind in kinds],
            [by_weight[kind] for kind in kinds],
        )
    return dict(zip(kinds, gradients, strict=True))
