"""Clean and robust accuracy of any model on given examples, batch by batch, resumable after each batch."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from advrush.attacks import Attack, Cascade
from advrush.evaluation.counting import counting
from advrush.evaluation.outcome import AttackOutcome, Evaluation
from advrush.modes import evaluating, frozen

Progress = dict[str, Tensor]
"""Flags so far by attack, int8 (N,): 1 still correct, 0 broken, -1 not yet attacked; of ensembles their records."""

UNKNOWN = -1


def measure(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    attacks: Sequence[Attack],
    batch_size: int = 100,
    progress: Progress | None = None,
    on_batch: Callable[[Progress, str], None] | None = None,
) -> Evaluation:
    """Attack a model; return each example's outcome under each attack.

    Args:
        model: maps [0, 1] pixels (N, C, H, W) to logits; its modes, flags and gradients are left as they were.
        x: examples (N, C, H, W) in [0, 1].
        y: labels (N,).
        attacks: attack values; each sees the examples that are correct without an attack.
        batch_size: examples attacked at once.
        progress: flags of an interrupted evaluation, completed in place.
        on_batch: called with `progress` and the attack's name after each batch: the place to save it.
    """
    progress = {} if progress is None else progress
    with evaluating(model), frozen(model):
        clean = _clean(model, x, y, batch_size, progress)
        outcomes = [
            _attack(model, x, y, attack, clean, batch_size, progress, on_batch or (lambda *_: None))
            for attack in attacks
        ]
    return Evaluation(clean.cpu(), outcomes)


def correct(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Return True (N,) where the largest logit is the label's."""
    with torch.no_grad():
        logits: Tensor = model(x)
        return logits.argmax(dim=1) == y


def _clean(model: nn.Module, x: Tensor, y: Tensor, batch_size: int, progress: Progress) -> Tensor:
    if "clean" not in progress:
        flags = [correct(model, x[rows], y[rows]) for rows in _batches(torch.arange(len(x)), batch_size)]
        progress["clean"] = torch.cat(flags).to("cpu", torch.int8)
    return progress["clean"].bool()


def _attack(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    attack: Attack,
    clean: Tensor,
    batch_size: int,
    progress: Progress,
    on_batch: Callable[[Progress, str], None],
) -> AttackOutcome:
    if isinstance(attack, Cascade):
        return _cascade(model, x, y, attack, progress, on_batch)
    flags = progress.setdefault(attack.name, torch.where(clean, UNKNOWN, 0).to(torch.int8))
    started = time.monotonic()
    with counting(model) as passes:
        for rows, seeded in seeded_batches(attack, clean.nonzero().flatten(), batch_size):
            if (flags[rows] != UNKNOWN).all():
                continue
            x_adv = seeded(model, x[rows], y[rows])
            flags[rows] = correct(model, x_adv, y[rows]).to("cpu", torch.int8)
            on_batch(progress, attack.name)
    seconds = time.monotonic() - started
    return AttackOutcome(attack.name, flags.bool(), seconds, passes.forwards, passes.backwards)


def _cascade(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    attack: Cascade,
    progress: Progress,
    on_batch: Callable[[Progress, str], None],
) -> AttackOutcome:
    """Run an ensemble, which keeps its own record: it resumes within an attack and tells which one broke what."""
    prefix = f"{attack.name}/"
    kept = {key.removeprefix(prefix): value for key, value in progress.items() if key.startswith(prefix)}

    def save(state: Progress) -> None:
        progress.update({prefix + key: value for key, value in state.items()})
        on_batch(progress, attack.name)

    found = attack.run(model, x, y, state=kept or None, on_batch=save)
    rows = found.waterfall()
    seconds, forwards, backwards = (sum(row[key] for row in rows[1:]) for key in ("seconds", "forwards", "backwards"))
    details = {"waterfall": rows, "warnings": list(found.warnings())}
    outcome = AttackOutcome(attack.name, found.flags, seconds, forwards, backwards, details)
    outcome.broken_by = found.broken_by()
    return outcome


def seeded_batches(attack: Attack, rows: Tensor, batch_size: int) -> Iterator[tuple[Tensor, Attack]]:
    """Yield the rows of each batch and the attack with a seed of the batch's own, so that any batch can be repeated."""
    for batch in _batches(rows, batch_size):
        yield batch, replace(attack, seed=attack.seed + int(batch[0]))  # type: ignore[type-var]  # attacks are dataclasses


def _batches(rows: Tensor, batch_size: int) -> Iterator[Tensor]:
    for start in range(0, len(rows), batch_size):
        yield rows[start : start + batch_size]
