"""Clean and robust accuracy of any model on given examples, batch by batch, resumable after each batch."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import torch
from torch import Tensor, nn

from advrush.attacks import Attack, Cascade, Outcome
from advrush.attacks.ensemble.checks import suspicions
from advrush.attacks.ensemble.record import Ledger
from advrush.attacks.gate import check_images, check_labels, check_weights, opened, probe, seeded_globally
from advrush.attacks.passes.counting import counting
from advrush.attacks.passes.fast_model import correct, exact_model
from advrush.config import check
from advrush.evaluation.results import AttackOutcome, Evaluation
from advrush.evaluation.sweep import Sweep
from advrush.modes import evaluating, frozen
from advrush.parallel import Parallel
from advrush.seeds import Purpose, derive_seed

Progress = dict[str, Tensor]
"""Flags so far by attack, int8 (N,): 1 still correct, 0 broken, -1 not yet attacked, and under `NAME/spent` what
that took: seconds, examples passed forward, backward; of ensembles their records."""

UNKNOWN = -1
SUSPECTED = 32
"""Examples on which the checks of `attacks.ensemble.checks` are made for attacks that are no ensembles."""
ALONE = Parallel(0, 1, torch.device("cpu"))


def measure(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    attacks: Sequence[Attack],
    batch_size: int = 100,
    progress: Progress | None = None,
    on_batch: Callable[[Progress, str], None] | None = None,
    sweeps: Sequence[Sweep] = (),
    team: Parallel = ALONE,
) -> Evaluation:
    """Attack a model; return each example's outcome under each attack.

    Args:
        model: maps [0, 1] pixels (N, C, H, W) to logits; its modes, flags and gradients are left as they were. Of a
            `Quick` one the exact model decides what is right and what broken.
        x: examples (N, C, H, W) in [0, 1].
        y: labels (N,).
        attacks: attack values; each sees the examples that are correct without an attack.
        batch_size: examples attacked at once.
        progress: flags of an interrupted evaluation, completed in place.
        on_batch: called with `progress` and the attack's name after each batch: the place to save it.
        sweeps: curves of PGD to measure besides.
        team: the processes among which the examples are shared out; each has all of x and y, its own progress, and
            returns the outcome of all.

    Raises DataError for images or labels, ModelContractError for a model that no attack can be trusted on (see
    `attacks.gate`).
    """
    progress = {} if progress is None else progress
    check_images(x)
    y = check_labels(y, len(x))
    check(len(x) > 0, "images", len(x), "at least one")
    check_weights(model)
    with torch.inference_mode(False), opened(), evaluating(model), frozen(model), seeded_globally(x.device, 0):
        x, y = (part.clone() if part.is_inference() else part for part in (x, y))
        single = [attack for attack in attacks if not isinstance(attack, Cascade)]
        gradients = any(getattr(attack, "uses_gradients", True) for attack in attacks)
        probe(model, x, y, gradients=gradients and bool(attacks))
        odd = suspicions(exact_model(model), x[:SUSPECTED], y[:SUSPECTED]) if single else ()
        work = _Work(model, x, y, batch_size, progress, on_batch or (lambda *_: None), team, odd)
        clean = work.clean()
        outcomes = [
            work.ensemble(attack, key) if isinstance(attack, Cascade) else work.attack(attack, key, clean)
            for attack, key in zip(attacks, _keys(attacks), strict=True)
        ]
        curves = {name: flags for sweep in sweeps for name, flags in work.sweep(sweep, clean).items()}
    return Evaluation(clean.cpu(), outcomes, curves)


@dataclass
class _Work:
    """What the attacks of one evaluation have in common."""

    model: nn.Module
    x: Tensor
    y: Tensor
    batch_size: int
    progress: Progress
    on_batch: Callable[[Progress, str], None]
    team: Parallel
    odd: tuple[str, ...]

    def clean(self) -> Tensor:
        """Return True (N,) where the model is right without an attack."""
        if "clean" not in self.progress:
            parts = [
                correct(self.model, self.x[r], self.y[r]) for r in _batches(torch.arange(len(self.x)), self.batch_size)
            ]
            self.progress["clean"] = torch.cat(parts).to("cpu", torch.int8)
        return self.team.largest(self.progress["clean"]).bool()

    def attack(self, attack: Attack, key: str, clean: Tensor) -> AttackOutcome:
        """Run one attack on what is right without it."""
        flags = self.progress.setdefault(key, torch.where(clean, UNKNOWN, 0).to(torch.int8))
        spent = self.progress.setdefault(f"{key}/spent", torch.zeros(3, dtype=torch.float64))
        for rows, seeded in self._own(seeded_batches(attack, clean.nonzero().flatten(), self.batch_size)):
            if (flags[rows] == UNKNOWN).any():
                started = time.monotonic()
                with counting(self.model) as passes:
                    x_adv = seeded(self.model, self.x[rows], self.y[rows])
                    flags[rows] = correct(self.model, x_adv, self.y[rows]).to("cpu", torch.int8)
                seconds = time.monotonic() - started
                spent += torch.tensor([seconds, passes.forwards, passes.backwards], dtype=torch.float64)
                self.on_batch(self.progress, key)
        whole = self.team.largest(flags).bool()
        seconds, (forwards, backwards) = float(self.team.largest(spent[:1])), self.team.total(spent[1:]).tolist()
        details = {"warnings": list(self.odd)} if self.odd else {}
        return AttackOutcome(key, whole, seconds, int(forwards), int(backwards), details)

    def sweep(self, sweep: Sweep, clean: Tensor) -> dict[str, Tensor]:
        """Measure the points of a curve; return flags (N,) by name."""
        kept = {name: f"sweep/{name}" for name in sweep.names}
        for key in kept.values():
            self.progress.setdefault(key, torch.where(clean, UNKNOWN, 0).to(torch.int8))
        batches = seeded_batches(sweep.attack, clean.nonzero().flatten(), self.batch_size)
        for rows, seeded in self._own(batches):
            if any((self.progress[key][rows] == UNKNOWN).any() for key in kept.values()):
                found = sweep.flags(self.model, self.x[rows], self.y[rows], seeded.seed)
                for key, flags in zip(kept.values(), found, strict=True):
                    self.progress[key][rows] = flags.to("cpu", torch.int8)
                self.on_batch(self.progress, "sweep")
        return {name: self.team.largest(self.progress[key]).bool() for name, key in kept.items()}

    def ensemble(self, attack: Cascade, key: str) -> AttackOutcome:
        """Run an ensemble, which keeps its own record: it resumes within an attack and tells which one broke what."""
        prefix, team = f"{key}/", self.team
        check(team.world == 1 or attack.order == "example", "order", attack.order, "example, in several processes")
        kept = {name.removeprefix(prefix): value for name, value in self.progress.items() if name.startswith(prefix)}
        own = torch.arange(team.rank, len(self.x), team.world)

        def save(state: Progress) -> None:
            self.progress.update({prefix + name: value for name, value in state.items()})
            self.on_batch(self.progress, key)

        found = attack.run(
            self.model,
            self.x[own],
            self.y[own],
            state=kept or None,
            on_batch=save,
            indices=own if team.world > 1 else None,
        )
        found = _joined(found, own, len(self.x), team)
        rows = found.waterfall()
        seconds, forwards, backwards = (
            sum(row[name] for row in rows[1:]) for name in ("seconds", "forwards", "backwards")
        )
        details = {"waterfall": rows, "warnings": list(found.warnings())}
        outcome = AttackOutcome(key, found.flags, seconds, forwards, backwards, details)
        outcome.broken_by = found.broken_by()
        return outcome

    def _own(self, batches: Iterable[tuple[Tensor, Attack]]) -> Iterator[tuple[Tensor, Attack]]:
        """Yield every world-th batch: the share of this process."""
        return islice(batches, self.team.rank, None, self.team.world)


def _keys(attacks: Sequence[Attack]) -> list[str]:
    """Return a name for each attack: its own, and where that is taken with norm and radius, then with a number."""
    keys: list[str] = []
    for attack in attacks:
        key = attack.name
        if key in keys:
            key = f"{key}@{getattr(attack, 'norm', '')}-{getattr(attack, 'eps', 0):g}"
        number, base = 2, key
        while key in keys:
            key, number = f"{base}#{number}", number + 1
        keys.append(key)
    return keys


def _joined(outcome: Outcome, own: Tensor, total: int, team: Parallel) -> Outcome:
    """Return the record of all processes together."""
    if team.world == 1:
        return outcome
    ledger, merged = outcome.ledger, {}
    for name in ("broken_by", "broken_in"):
        values = torch.full((total,), torch.iinfo(torch.int16).min, dtype=torch.int32)
        values[own] = getattr(ledger, name).int()
        merged[name] = team.largest(values).to(torch.int16)
    spent = ledger.passes.clone()
    spent[:, 1:] = team.total(spent[:, 1:])
    spent[:, 0] = team.largest(spent[:, 0])
    return replace(outcome, ledger=Ledger(merged["broken_by"], merged["broken_in"], ledger.position, spent))


def seeded_batches(attack: Attack, rows: Tensor, batch_size: int) -> Iterator[tuple[Tensor, Attack]]:
    """Yield the rows of each batch and the attack with a seed of the batch's own, so that any batch can be repeated."""
    for batch in _batches(rows, batch_size):
        seed = derive_seed(Purpose.ATTACK_BATCH, attack.seed, int(batch[0]))
        yield batch, replace(attack, seed=seed)  # type: ignore[type-var]  # attacks are dataclasses


def _batches(rows: Tensor, batch_size: int) -> Iterator[Tensor]:
    for start in range(0, len(rows), batch_size):
        yield rows[start : start + batch_size]
