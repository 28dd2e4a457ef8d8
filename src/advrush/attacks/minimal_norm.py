"""Base class of attacks that search for the smallest perturbation of each example."""

from __future__ import annotations

import math
from abc import abstractmethod

import torch
from torch import Tensor, nn

from advrush.attacks.ensemble.runnable import Runnable
from advrush.attacks.gate import gated
from advrush.attacks.passes.chunks import by_pieces
from advrush.attacks.passes.classes import told
from advrush.attacks.passes.fast_model import exact_model
from advrush.attacks.threat import L2, Norm, per_example
from advrush.config import check, check_radius
from advrush.modes import evaluating, frozen


class MinimalNorm(Runnable):
    """An attack without a ball: frozen dataclasses derive from it and say how they search.

    `eps` says at which radius an evaluation tells the accuracy; an example counts as broken where the smallest
    perturbation found is no longer than that.
    """

    eps: float
    norm: Norm

    @abstractmethod
    def search(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """Return the nearest adversarial points (N, C, H, W) in [0, 1] that were found, x itself where none was.

        The model is in eval mode and frozen; all examples are classified correctly.
        """

    def check_radius(self) -> None:
        """Raise ConfigError unless eps is a radius of the L2 norm, or infinite, and the norm is L2."""
        check(self.norm == "L2", "norm", self.norm, f"L2, in which {self.name} measures (--norm L2)")
        if self.eps != math.inf:
            check_radius("eps", self.eps, norm=self.norm)

    def attack_batch(
        self, model: nn.Module, x: Tensor, y: Tensor, *, generator: torch.Generator, targets: Tensor | None
    ) -> Tensor:
        """Return the nearest adversarial examples within eps, x itself where there is none; nothing is random."""
        points, norms = self.smallest(model, x, y)
        return torch.where(per_example(norms <= self.eps, x), points, x)

    @gated
    def smallest(self, model: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return the nearest adversarial examples (N, C, H, W), and the L2 norm (N,) of each perturbation.

        The norm is 0 where the model is wrong without an attack, and infinite where nothing was found; there the
        example is x itself. Of a `FastModel` the exact one decides.
        """
        points, norms = x.detach().clone(), torch.zeros(len(x), dtype=x.dtype, device=x.device)
        if not len(x):
            return points, norms
        exact = exact_model(model)
        with evaluating(model), frozen(model):
            left = (told(exact, x) == y).nonzero().flatten()
            norms[left] = torch.inf
            for searched in (model, exact) if exact is not model else (model,):
                if len(left):
                    found, lengths = self._verified(searched, exact, x[left], y[left])
                    points[left], norms[left] = found, lengths
                    left = left[lengths.isinf()]
        return points, norms

    def _verified(self, searched: nn.Module, exact: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return points and norms of a search on one model whose finds another confirms."""

        def search(rows: Tensor) -> tuple[Tensor, Tensor]:
            return self.search(searched, x[rows], y[rows]), rows

        points, _ = by_pieces(search, x)
        broken = told(exact, points) != y
        points = torch.where(per_example(broken, x), points, x)
        return points, torch.where(broken, L2(1.0).distance(points, x), torch.inf)
