"""Auto-PGD's gradient ascent on a batch from which misclassified examples are removed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn

from advrush.attacks.apgd_sparse import SparseAscent, sparse_checkpoints
from advrush.attacks.apgd_state import Ascent, checkpoints
from advrush.attacks.ensemble.random_streams import RandomStream
from advrush.attacks.found import note_found
from advrush.attacks.passes.chunks import by_pieces, gradient
from advrush.attacks.passes.upload import upload
from advrush.attacks.threat import Norm, threat_model

MOMENTUM = 0.75
RowValue = Callable[[Tensor, Tensor], Tensor]
"""From the logits (n, K) of some examples and their rows (n,) in the batch to what is maximized (n,)."""


class Settings(Protocol):
    """What the ascent needs to know of its attack."""

    @property
    def eps(self) -> float: ...  # noqa: D102

    @property
    def norm(self) -> Norm: ...  # noqa: D102

    @property
    def steps(self) -> int: ...  # noqa: D102

    @property
    def eot_iter(self) -> int: ...  # noqa: D102


def run_apgd(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    stream: RandomStream,
    attack: Settings,
    value: RowValue,
    targets: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Return each example's first adversarial point (x itself where there is none), and which were broken.

    With `targets` (N,) a point is adversarial where the model takes it for its target.

    On a CPU an example leaves the batch at once; on a GPU after the next checkpoint of the step sizes, since
    counting the broken ones makes the host wait.
    """
    noise = upload(stream.each(tuple(x.shape[1:]), normal=attack.norm == "L2"), x)
    start = threat_model(attack.norm, attack.eps).sphere(x, noise).clamp(0.0, 1.0)

    def succeeds(logits: Tensor, rows: Tensor) -> Tensor:
        told = logits.argmax(dim=1)
        return told != y[rows] if targets is None else told == targets[rows]

    return by_pieces(lambda rows: _run(model, x[rows], start[rows], rows, attack, value, succeeds), x)


def _run(
    model: nn.Module, x: Tensor, start: Tensor, places: Tensor, attack: Settings, value: RowValue, succeeds: RowValue
) -> tuple[Tensor, Tensor]:
    threat = threat_model(attack.norm, attack.eps)
    rows = torch.arange(len(x), device=x.device)
    found, broken = x.clone(), torch.zeros(len(x), dtype=torch.bool, device=x.device)

    def evaluate_at(points: Tensor) -> tuple[Tensor, Tensor]:
        logits, loss, grad = _measure(model, points, places[rows], value, attack.eot_iter)
        new = succeeds(logits, places[rows]) & ~broken[rows]
        note_found(found, broken, rows, new, points)
        return loss, grad

    sparse = attack.norm == "L1"
    ascent = (SparseAscent if sparse else Ascent)(x, start, *evaluate_at(start), (1.0 if sparse else 2.0) * attack.eps)
    schedule = (sparse_checkpoints if sparse else checkpoints)(attack.steps)
    for step in range(attack.steps):
        if x.device.type == "cpu" or step - 1 in schedule:
            left = (~broken[rows]).nonzero().flatten()
            if len(left) < len(rows):
                rows = rows[left]
                ascent.keep(left)
            if not len(rows):
                break
        ascent.move(threat, MOMENTUM if step else 1.0)
        ascent.record(*evaluate_at(ascent.x_adv))
        if step in schedule:
            ascent.checkpoint(schedule[step])
    return found, broken


def _measure(
    model: nn.Module, points: Tensor, rows: Tensor, value: RowValue, eot_iter: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return logits and loss of the last pass, and the gradient averaged over all."""
    total = torch.zeros_like(points)
    for _ in range(eot_iter):
        logits, loss, grad = gradient(model, points, lambda z, part: value(z, rows[part]))
        total = total + grad
    return logits, loss, total / float(eot_iter)
