"""The AdvRush search step of the textbook: all-parameter backward, native double backward, one pass after the other.

Spec sections 2 and 3 with the paper's fidelity (nothing of the authors' polluted gradient), in the authors' manner:
the alpha step calls ``backward`` on the whole objective, hence computes the gradient of every weight and throws
it away, and so does the search for z.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .supernet import Supernet


def input_curvature(model: nn.Module, x: Tensor, y: Tensor, h: float = 1.5) -> Tensor:
    """Eq. 9 and 10: mean_i ||g(x_i + h z_i) - g(x_i)||_2 in eval mode, differentiable by double backward."""
    was_training = model.training
    model.eval()
    probe = x.detach().clone().requires_grad_()
    F.cross_entropy(model(probe), y, reduction="sum").backward()
    sign = probe.grad.sign()  # type: ignore[union-attr]
    z = sign / sign.flatten(1).norm(dim=1).clamp_min(1e-12).view(-1, 1, 1, 1)

    x = x.detach().clone().requires_grad_()
    moved = F.cross_entropy(model(x + h * z), y, reduction="sum")
    here = F.cross_entropy(model(x), y, reduction="sum")
    difference = torch.autograd.grad(moved - here, x, create_graph=True)[0]
    model.train(was_training)
    return difference.flatten(1).norm(dim=1).mean()


def clear(net: Supernet) -> None:
    for tensor in (*net.parameters(), *net.alphas()):
        tensor.grad = None


class TextbookSearch:
    """One supernet with its two optimizers; ``alpha_step`` and ``weight_step`` are Algorithm 1's two updates."""

    def __init__(self, net: Supernet, gamma: float = 0.01, h: float = 1.5) -> None:
        self.net, self.gamma, self.h = net, gamma, h
        self.alpha_optimizer = torch.optim.Adam(net.alphas(), lr=3e-4, betas=(0.5, 0.999), weight_decay=1e-3)
        self.weight_optimizer = torch.optim.SGD(net.parameters(), lr=0.025, momentum=0.9, weight_decay=3e-4)

    def alpha_gradients(self, x: Tensor, y: Tensor) -> tuple[float, float]:
        """Leave the gradient of L_val + gamma L_lambda in the alphas' ``.grad``; return the two losses."""
        clear(self.net)
        loss = F.cross_entropy(self.net(x), y)
        if self.gamma == 0:
            loss.backward()
            return loss.item(), 0.0
        curvature = input_curvature(self.net, x, y, self.h)
        clear(self.net)  # the search for z left gradients behind; the objective's start from zero
        (loss + self.gamma * curvature).backward()
        return loss.item(), curvature.item()

    def alpha_step(self, x: Tensor, y: Tensor) -> tuple[float, float]:
        losses = self.alpha_gradients(x, y)
        self.alpha_optimizer.step()
        return losses

    def weight_step(self, x: Tensor, y: Tensor) -> float:
        clear(self.net)
        loss = F.cross_entropy(self.net(x), y)
        loss.backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), 5.0)
        self.weight_optimizer.step()
        return loss.item()

    def step(self, train: tuple[Tensor, Tensor], valid: tuple[Tensor, Tensor]) -> tuple[float, float, float]:
        """Take one search step, alpha first; return L_val, L_lambda and the training loss."""
        return (*self.alpha_step(*valid), self.weight_step(*train))
