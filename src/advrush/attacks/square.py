"""Square Attack (Andriushchenko et al., ECCV 2020): random squares, kept where they help; it needs no gradient."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from advrush.attacks.ensemble.random_streams import ExampleStream, RandomStream
from advrush.attacks.ensemble.rounds import Staged
from advrush.attacks.losses import margin
from advrush.attacks.passes.chunks import predict
from advrush.attacks.square_l2 import SquareL2
from advrush.attacks.square_linf import SquareLinf
from advrush.attacks.threat import Norm, refuse_l1, threat_model
from advrush.config import check
from advrush.errors import DataError

HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
"""The squares' area is halved after each of these queries, for every budget (the published evaluation's schedule)."""


@dataclass(frozen=True)
class Square(Staged):
    """Random search over squares; only the model's outputs are used."""

    eps: float = 0.031
    """Radius of the ball, in [0, 1] pixel units."""
    queries: int = 5000
    """Squares tried on each example."""
    area: float = 0.8
    """Fraction of the image that the first squares cover."""
    norm: Norm = "Linf"
    """Norm of the ball."""
    seed: int = 0
    """Seed of the squares."""

    def __post_init__(self) -> None:
        threat_model(self.norm, self.eps)
        refuse_l1(self.norm, "square")
        check(self.queries >= 1, "queries", self.queries, "a whole number >= 1")
        check(0 < self.area <= 1, "area", self.area, "a fraction in (0, 1]")

    @property
    def name(self) -> str:
        """Name for tables and files."""
        return "square"

    @property
    def uses_gradients(self) -> bool:
        """Return False: Square asks for logits alone."""
        return False

    def rounds(self, classes: int) -> int:
        """Return 1."""
        return 1

    def draws_noise(self, number: int) -> bool:
        """Return False: squares are drawn one by one."""
        return False

    def side(self, query: int, pixels: int) -> int:
        """Return the side of the square of a query, not yet limited by the image."""
        area = self.area / 2 ** sum(query > limit for limit in HALVINGS)
        return max(round(math.sqrt(area * pixels)), 1)

    def attack_round(
        self, model: nn.Module, x: Tensor, y: Tensor, *, number: int, stream: RandomStream
    ) -> tuple[Tensor, Tensor]:
        """Return the last points, and which of them are adversarial.

        On a CPU, broken examples leave at once and squares that change nothing cost no query; on a GPU the batch
        shrinks every 50 queries, so that the host does not wait
        (in the L2 ball the published order draws for as many examples as are left: there it shrinks at once).
        """
        if x.dim() != 4:
            raise DataError(f"images: got shape {tuple(x.shape)}; expected (N, C, H, W), where squares can be drawn")
        rule = (SquareLinf if self.norm == "Linf" else SquareL2)(x, self.eps, stream)
        found, rows = x.clone(), torch.arange(len(x), device=x.device)
        score = -margin(predict(model, rule.points), y)
        on_cpu = x.device.type == "cpu"
        shrinks = on_cpu or (self.norm == "L2" and not isinstance(stream, ExampleStream))
        for query in range(self.queries):
            if shrinks or query % 50 == 0:
                left = (score > 0).nonzero().flatten()
                if len(left) < len(rows):
                    done = (score <= 0).nonzero().flatten()
                    found[rows[done]] = rule.points[done]
                    rows, score = rows[left], score[left]
                    rule.keep(left)
                if not len(rows):
                    break
            changed = rule.propose(self.side(query, x.shape[-1] * x.shape[-2]))
            asked = changed.nonzero().flatten() if on_cpu else torch.arange(len(rows), device=x.device)
            if not len(asked):
                continue
            candidates = rule.candidates if len(asked) == len(rows) else rule.candidates[asked]
            new = score.index_put((asked,), -margin(predict(model, candidates), y[rows[asked]]))
            better = ((new < score) | (new <= 0)) & (changed if on_cpu else score > 0)
            score = torch.where(better, new, score)
            rule.accept(better)
        found[rows] = rule.points
        broken = torch.ones(len(x), dtype=torch.bool, device=x.device)
        broken[rows] = score <= 0
        return found, broken
