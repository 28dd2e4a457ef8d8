"""The result of an evaluation: for each attack the correctly classified examples, and the accuracies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from advrush.attacks import Outcome
from advrush.config import check
from advrush.evaluation.attack_cost import AttackCost
from advrush.evaluation.intervals import wilson
from advrush.evaluation.result_table import ResultTable
from advrush.evaluation.smallest import smallest_of
from advrush.evaluation.targeted import TargetedOutcome


@dataclass
class AttackOutcome(AttackCost):
    """One attack's flags (N,), True where the example is still correct, and what it cost."""

    flags: Tensor
    broken_by: list[str] | None = None
    """Of an ensemble: the attack that broke each example, "clean" where it was wrong before, "" where none did."""
    norms: Tensor | None = None
    """(N,), of an attack that looks for the smallest perturbation: its norm (see `attacks.MinimalNorm.smallest`)."""

    @classmethod
    def of(cls, outcome: Outcome, name: str, *, estimate: bool = False, norm: str = "L2") -> AttackOutcome:
        """Return an attack's outcome as a row of an evaluation, in which it has this name; an estimate is marked.

        `norm` is the one that the attack's smallest perturbations are measured in, where it looks for them.
        """
        row = cls(outcome.flags, **cls.fields_of(outcome, name))
        if not outcome.single:
            row.details = {"waterfall": outcome.waterfall(), "warnings": list(outcome.warnings())}
            row.broken_by = outcome.broken_by()
        if outcome.norms is not None:
            row.norms = outcome.norms
            row.details["smallest"] = smallest_of(outcome.norms, norm)
        if estimate:
            row.details["estimate"] = True
        return row

    @property
    def robust_acc(self) -> float:
        """Return the fraction of all examples that are still correct."""
        return float(self.flags.double().mean())


@dataclass
class Evaluation:
    """Clean flags and each attack's outcome on the same examples."""

    clean: Tensor
    attacks: list[AttackOutcome]
    sweeps: dict[str, Tensor] = field(default_factory=dict)
    """Flags (N,) of the points of curves, by name."""
    label: str = ""
    """What the network is called."""
    targeted: list[TargetedOutcome] = field(default_factory=list)
    """Targeted attacks, which tell a success rate and no accuracy: they are no part of the worst case."""

    @property
    def clean_acc(self) -> float:
        """Return the fraction of examples that are correct without an attack."""
        return float(self.clean.double().mean())

    @property
    def robust_acc(self) -> float:
        """Return the worst case: the fraction that every (untargeted) attack left correct.

        Raises ConfigError where there was none.
        """
        check(bool(self.attacks), "robust_acc", "targeted attacks alone", "an untargeted attack, such as pgd20")
        return float(self.worst_flags().double().mean())

    @property
    def table(self) -> ResultTable:
        """Return the accuracies as a table for a terminal, a notebook, a paper, pandas."""
        return ResultTable.of({"model": self.label, **self.to_dict()})

    def __str__(self) -> str:
        return self.table.text()

    __repr__ = __str__  # what a Python prompt shows

    def _repr_html_(self) -> str:
        """Return the table as notebooks show it."""
        return self.table._repr_html_()

    def to_pandas(self) -> Any:
        """Return the table as a pandas DataFrame; pandas must be installed."""
        return self.table.to_pandas()

    def worst_flags(self) -> Tensor:
        """Return True where the example is correct clean and under every attack."""
        return torch.stack([self.clean, *(attack.flags for attack in self.attacks)]).all(dim=0)

    def to_dict(self) -> dict[str, Any]:
        """Return the accuracies, intervals and costs as plain values."""
        total = len(self.clean)

        def numbers(flags: Tensor) -> tuple[float, list[float]]:
            correct = int(flags.sum())
            return correct / total, list(wilson(correct, total))

        clean_acc, clean_interval = numbers(self.clean)
        worst_acc, worst_interval = numbers(self.worst_flags())
        rows: list[Mapping[str, Any]] = []
        for attack in self.attacks:
            acc, interval = numbers(attack.flags)
            rows.append({"name": attack.name, "robust_acc": acc, "interval": interval, **attack.cost_and_details()})
        found: dict[str, Any] = {
            "examples": total,
            "clean_acc": clean_acc,
            "clean_interval": clean_interval,
            "attacks": rows,
        }
        if rows:
            found["worst_case"] = {"robust_acc": worst_acc, "interval": worst_interval}
        if self.targeted:
            found["targeted"] = [each.to_dict() for each in self.targeted]
        return found
