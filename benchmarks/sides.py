"""The sides that search_step.py compares: the textbook's search step and the program's, with the same numbers."""

from __future__ import annotations

import argparse

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from advrush.models.supernet import Supernet
from advrush.parallel import Parallel
from advrush.searching.loop import clip_
from advrush.searching.objectives import AdvRush, Batch, Darts, weight_gradients
from advrush.space import DARTS
from textbook.exchange import load_textbook
from textbook.search import TextbookSearch
from textbook.supernet import Supernet as TextbookSupernet

GAMMA, H = 0.01, 1.5


def examples(args: argparse.Namespace) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return a training and a validation batch of normalized noise."""
    torch.manual_seed(1)
    kind = torch.get_default_dtype()  # the draws are float32's in every precision, so that all sides see the same

    def draw() -> Tensor:
        return torch.randn(args.batch, 3, args.side, args.side, dtype=torch.float32).to(args.device, kind)

    labels = lambda: torch.randint(10, (args.batch,)).to(args.device)  # noqa: E731
    return draw(), labels(), draw(), labels()


def textbook_net(args: argparse.Namespace) -> TextbookSupernet:
    """Return the textbook's supernet after one batch, whose statistics it holds, with decided alphas."""
    kind = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    torch.manual_seed(0)
    net = TextbookSupernet(args.channels, args.layers)
    with torch.no_grad():
        net(torch.randn(4, 3, args.side, args.side))
        for alpha in net.alphas():
            alpha.normal_(std=0.5)
    torch.set_default_dtype(kind)
    net = net.to(kind)
    for name in ("alphas_normal", "alphas_reduce"):
        setattr(net, name, getattr(net, name).detach().to(kind).requires_grad_())
    return net


class TextbookSide:
    """The baseline."""

    def __init__(self, args: argparse.Namespace, channels_last: bool) -> None:
        net = textbook_net(args).to(args.device)
        for name in ("alphas_normal", "alphas_reduce"):
            setattr(net, name, getattr(net, name).detach().to(args.device).requires_grad_())
        self.x, self.y, self.x_val, self.y_val = examples(args)
        if channels_last:
            net = net.to(memory_format=torch.channels_last)
            self.x, self.x_val = (x.contiguous(memory_format=torch.channels_last) for x in (self.x, self.x_val))
        self.net, self.search = net, TextbookSearch(net, GAMMA, H)

    def alpha(self, regularized: bool) -> None:
        self.search.gamma = GAMMA if regularized else 0.0
        self.search.alpha_step(self.x_val, self.y_val)

    def weight(self) -> None:
        self.search.weight_step(self.x, self.y)

    def gradients(self, gamma: float = GAMMA) -> tuple[list[Tensor], list[Tensor]]:
        """Return alpha's gradients without and with L_lambda, and the loss's for the weights."""
        found: list[Tensor] = []
        for self.search.gamma in (0.0, gamma):
            self.search.alpha_gradients(self.x_val, self.y_val)
            found += [alpha.grad.clone() for alpha in self.net.alphas()]  # type: ignore[union-attr]
        loss = cross_entropy(self.net(self.x), self.y)
        weights = dict(self.net.named_parameters())
        return found, list(torch.autograd.grad(loss, list(weights.values())))


class ProgramSide:
    """The program's own step, as its loop takes it."""

    def __init__(self, args: argparse.Namespace) -> None:
        net = Supernet(DARTS, channels=args.channels, layers=args.layers)
        load_textbook(net, textbook_net(args))
        self.net = net.to(args.device)
        x, y, x_val, y_val = examples(args)
        self.weights, self.alphas = net.weights(), net.alphas()
        self.optimizer = torch.optim.SGD(self.weights, 0.025, 0.9, weight_decay=3e-4)
        self.alpha_optimizer = torch.optim.Adam(list(self.alphas.values()), 3e-4, betas=(0.5, 0.999), weight_decay=1e-3)
        processes = Parallel(0, 1, torch.device(args.device))
        self.batch = Batch(x, y, x_val, y_val, self.optimizer, processes, torch.Generator())

    def alpha(self, regularized: bool) -> None:
        objective = AdvRush(GAMMA, H) if regularized else Darts()
        for kind, gradient in objective.alpha_step(self.net, self.batch).gradients.items():
            self.alphas[kind].grad = gradient
        self.alpha_optimizer.step()

    def weight(self) -> None:
        _, _, gradients = weight_gradients(self.net, self.batch.x, self.batch.y)
        clip_(gradients, 5.0)
        for weight, gradient in zip(self.weights, gradients, strict=True):
            weight.grad = gradient
        self.optimizer.step()

    def gradients(self, gamma: float = GAMMA) -> tuple[list[Tensor], list[Tensor]]:
        """Return alpha's gradients without and with L_lambda, and the loss's for the weights."""
        found: list[Tensor] = []
        for objective in (Darts(), AdvRush(gamma, H)):
            found += list(objective.alpha_step(self.net, self.batch).gradients.values())
        return found, weight_gradients(self.net, self.batch.x, self.batch.y)[2]


def build(side: str, args: argparse.Namespace) -> TextbookSide | ProgramSide:
    """Return the side of that name: textbook, textbook channels_last, advrush."""
    return ProgramSide(args) if side == "advrush" else TextbookSide(args, side.endswith("channels_last"))
