"""The curvature regularizer L_lambda (AdvRush, Eq. 8-10) by double backward: the reference implementation."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from advrush.kernels.attack_direction import attack_direction
from advrush.modes import evaluating, frozen

Loss = Callable[[Tensor, Tensor], Tensor]
"""Maps the model's output and the labels to one loss for each example, or to their sum."""


def summed_cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    """Return the cross-entropy summed over the examples, so that its input gradient is each example's own."""
    return cross_entropy(logits, y, reduction="sum")


def input_curvature(
    model: nn.Module, x: Tensor, y: Tensor, *, h: float = 1.5, loss: Loss = summed_cross_entropy
) -> Tensor:
    """Return L_lambda, differentiable with respect to everything in `model` that requires a gradient.

    `g(x) = grad_x loss(f(x), y)` for each example, `z = sign(g) / ||sign(g)||_2` (a constant),
    `L_lambda = mean_i || g(x_i + h z_i) - g(x_i) ||_2` (Eq. 10; its 1/h is absorbed in gamma).

    Args:
        model: maps x to logits (N, K); runs in eval mode here, so that examples do not mix, and is put back.
        x: inputs (N, ...), in the units the model takes; h is measured in these units.
        y: labels (N,), int64.
        h: length of the step along z.
        loss: cross-entropy unless given.

    Returns a scalar. It is 0 for h = 0 and for a model whose input gradient is constant.
    """
    with evaluating(model), torch.enable_grad():
        g = input_gradient(model, x, y, loss=loss)
        g_h = input_gradient(model, x + h * attack_direction(g), y, loss=loss)
        value: Tensor = safe_norm(g_h - g).mean()
        return value


def measure_curvature(model: nn.Module, x: Tensor, y: Tensor, *, h: float = 1.5) -> Tensor:
    """Return the value of L_lambda alone (no graph): two input gradients, nothing of the second order."""
    with evaluating(model), frozen(model), torch.enable_grad():
        g = input_gradient(model, x, y, create_graph=False)
        g_h = input_gradient(model, x + h * attack_direction(g), y, create_graph=False)
    value: Tensor = torch.linalg.vector_norm((g_h - g).flatten(1), dim=1).mean()
    return value


def input_hessian_norm(model: nn.Module, x: Tensor) -> Tensor:
    """Return the mean over the examples of ||H||_F (Eq. 8 before its approximation), differentiable like L_lambda.

    H is the Hessian (D, D) of an example's cross-entropy with respect to the example. For a model that is linear
    between its kinks, `H = J^T (diag p - p p^T) J` with p = softmax(f) and J = df/dx, whatever the label, and
    `||H||_F^2 = tr(S G S G)` with S = diag p - p p^T, G = J J^T: K backward passes, no finite difference. In eval
    mode, as `input_curvature`; 0 with derivative 0 for an example whose Hessian is 0.
    """
    with evaluating(model), torch.enable_grad():
        x = x.detach().requires_grad_(True)
        logits = model(x)
        p = logits.softmax(dim=1)
        rows = [torch.autograd.grad(logits[:, k].sum(), x, create_graph=True)[0].flatten(1) for k in range(p.shape[1])]
        jacobian = torch.stack(rows, dim=1)
        s, g = torch.diag_embed(p) - p[:, :, None] * p[:, None, :], jacobian @ jacobian.transpose(1, 2)
        sg = s @ g
        squares = (sg * sg.transpose(1, 2)).sum(dim=(1, 2))
        zero = squares <= 0
        return torch.where(zero, 0.0 * squares, torch.where(zero, 1.0, squares).sqrt()).mean()


def input_gradient(
    model: nn.Module, x: Tensor, y: Tensor, *, create_graph: bool = True, loss: Loss = summed_cross_entropy
) -> Tensor:
    """Return the gradient (N, ...) of each example's loss with respect to its own input."""
    x = x.detach().requires_grad_(True)
    return torch.autograd.grad(loss(model(x), y).sum(), x, create_graph=create_graph)[0]


def safe_norm(v: Tensor) -> Tensor:
    """Return the 2-norm (N,) of each example of `v`, with derivative 0 where it is 0 (autograd's is nan)."""
    squares = v.flatten(1).square().sum(dim=1)
    zero = squares == 0
    return torch.where(zero, squares, torch.where(zero, 1.0, squares).sqrt())
