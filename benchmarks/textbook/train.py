"""The textbook's step of adversarial training: an extra clean pass, gradients for all parameters in the attack."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EPS, STEPS, STEP_SIZE, CLIP = 0.031, 7, 0.01, 5.0


class TextbookTraining:
    """A network with its optimizer; ``step`` is one step of PGD-7 adversarial training (Table A1)."""

    def __init__(self, net: nn.Module, clean_pass: bool = True) -> None:
        self.net, self.clean_pass = net, clean_pass
        self.optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)

    def examples(self, x: Tensor, y: Tensor, noise: Tensor) -> Tensor:
        """PGD-7 in eval mode; ``backward`` leaves gradients in every parameter, which nobody reads."""
        self.net.eval()
        x_adv = torch.clamp(x + 0.001 * noise, 0.0, 1.0)
        for _ in range(STEPS):
            x_adv = x_adv.detach().requires_grad_()
            F.cross_entropy(self.net(x_adv), y, reduction="sum").backward()
            x_adv = x_adv.detach() + STEP_SIZE * x_adv.grad.sign()  # type: ignore[union-attr]
            x_adv = torch.min(torch.max(x_adv, x - EPS), x + EPS).clamp(0.0, 1.0)
        self.net.train()
        return x_adv.detach()

    def gradients(self, x: Tensor, y: Tensor, noise: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the examples and leave the step's gradients in the parameters."""
        self.net.train()
        logits = self.net(x) if self.clean_pass else None  # some codes report its accuracy
        x_adv = self.examples(x, y, noise)
        self.optimizer.zero_grad()
        F.cross_entropy(self.net(x_adv), y).backward()
        del logits
        return x_adv, [p.grad.clone() for p in self.net.parameters()]  # type: ignore[union-attr]

    def step(self, x: Tensor, y: Tensor, noise: Tensor) -> None:
        """Take the step."""
        self.gradients(x, y, noise)
        nn.utils.clip_grad_norm_(self.net.parameters(), CLIP)
        self.optimizer.step()
