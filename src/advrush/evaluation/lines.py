"""Progress lines of an evaluation: one for each result."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from advrush.attacks import Attack
from advrush.attacks.ensemble.single import plan_of
from advrush.evaluation.intervals import wilson
from advrush.evaluation.progress import Progress
from advrush.evaluation.results import AttackOutcome
from advrush.evaluation.robust_accuracy import attack_names
from advrush.evaluation.smallest import smallest_line
from advrush.evaluation.targeted import TargetedOutcome, targeted_line


def outcome_lines(outcome: AttackOutcome | TargetedOutcome) -> list[str]:
    """Return the accuracy after an attack with its interval and cost, an ensemble's steps and warnings below it.

    Of a targeted attack its success rate.
    """
    if isinstance(outcome, TargetedOutcome):
        row = outcome.to_dict()
        return [targeted_line(row), *(f"  warning: {text}" for text in row.get("warnings", ()))]
    total = len(outcome.flags)
    low, high = wilson(int(outcome.flags.sum()), total)
    line = f"{outcome.name:<11} {outcome.robust_acc:.2%}  [{low:.1%}, {high:.1%}]"
    if outcome.name != "clean":
        line += f"  {outcome.seconds:.1f} s  {outcome.forwards} forward, {outcome.backwards} backward"
    waterfall = outcome.details.get("waterfall", ())[1:]  # the first is clean, which stands above already
    steps = [f"  after {step['name']:<9} {step['robust_acc']:.2%}" for step in waterfall]
    if "smallest" in outcome.details:
        steps.append(f"  {smallest_line(outcome.details['smallest'])}")
    return [line, *steps, *(f"  warning: {text}" for text in outcome.details.get("warnings", ()))]


def sweep_line(name: str, flags: Tensor) -> str:
    """Return the accuracy at a point of a curve."""
    return f"{name:<11} {float(flags.double().mean()):.2%}  (sweep)"


class Pace:
    """How much of all rounds of all attacks over all examples is done: the same before and after an interruption."""

    def __init__(
        self, attacks: Sequence[Attack], model: nn.Module, x: Tensor, *, batch_size: int, sweeps: Sequence[str] = ()
    ) -> None:
        rounds = [plan_of(attack, batch_size).rounds(model, x) for attack in attacks]
        self.rounds = dict(zip(attack_names(attacks), rounds, strict=True))
        self.examples, self.sweeps = len(x), tuple(sweeps)
        self.total = len(x) * (sum(map(sum, rounds)) + len(self.sweeps))

    def done(self, progress: Progress) -> int:
        """Return how many of `total` examples, each counted once a round, are done."""
        done = 0.0
        for name, ledger in progress.attacks.items():
            member, number, rows = (int(value) for value in ledger.position)
            rounds = self.rounds.get(name, ())
            done += sum(rounds[:member])
            if member < len(rounds):
                done += number + rows / max(1, len(ledger.alive(member, number)))
        done *= self.examples
        done += sum(int((progress.sweeps[name] >= 0).sum()) for name in self.sweeps if name in progress.sweeps)
        return min(self.total, round(done))


def by_class(flags: Tensor, y: Tensor, classes: int) -> list[float | None]:
    """Return the accuracy of each class, None of one without examples, from flags (N,) and labels (N,)."""
    y = y.cpu()
    return [float(flags[y == label].double().mean()) if bool((y == label).any()) else None for label in range(classes)]


def confusion(y: Tensor, predicted: Tensor, classes: int) -> list[list[int]]:
    """Return how many examples of each class (a row) are taken for each class (a column)."""
    classes = max(classes, int(predicted.max()) + 1)  # the network may know more of them than the data
    pairs = y.cpu() * classes + predicted.cpu()
    counts = torch.bincount(pairs, minlength=classes * classes).view(classes, classes)
    found: list[list[int]] = counts.tolist()
    return found
