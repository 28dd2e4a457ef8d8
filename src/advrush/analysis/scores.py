"""Harmonic robustness scores of trained networks, from their finished evaluations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from advrush.config import check
from advrush.errors import AdvrushError
from advrush.reading.text import read_toml
from advrush.run import Run


@dataclass(frozen=True)
class Score:
    """HRS = 2 C R / (C + R) of one evaluation: fractions; R under FGSM or PGD-20, as the training asks for."""

    trained: str
    """standard or adversarial."""
    attack: str
    clean_acc: float
    robust_acc: float
    hrs: float
    examples: int
    evaluation: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


def hrs(clean_acc: float, robust_acc: float) -> float:
    """Return the harmonic mean of clean and robust accuracy, both fractions; 0 where both are 0."""
    for name, value in (("clean_acc", clean_acc), ("robust_acc", robust_acc)):
        check(0 <= value <= 1, name, value, "a fraction from 0 to 1")
    total = clean_acc + robust_acc
    return 2 * clean_acc * robust_acc / total if total else 0.0


def scores(training: Run, evaluations: Sequence[Run]) -> list[Score]:
    """Return the scores of a training from those of the evaluations that are finished and attacked its network.

    R is the accuracy under FGSM where the training was standard, under PGD-20 where it was adversarial (Table 6);
    evaluations without that attack give none.
    """
    label = f"{training.stage}/{training.path.resolve().name}"
    objective = config_of(training).get("objective")
    trained, attack = ("standard", "fgsm") if objective == "standard" else ("adversarial", "pgd20")
    found = []
    for run in evaluations:
        if not run.done:
            continue
        result = run.result()
        robust = next((row["robust_acc"] for row in result.get("attacks", ()) if row["name"] == attack), None)
        if result.get("model") == label and robust is not None:
            clean, count = float(result["clean_acc"]), int(result["examples"])
            found.append(
                Score(trained, attack, clean, robust, hrs(clean, robust), count, f"evaluate/{run.path.resolve().name}")
            )
    return found


def evaluations_beside(training: Run) -> list[Run]:
    """Return the finished evaluations in the folder of runs that the training is in, by name."""
    folder = training.path.resolve().parent.parent / "evaluate"
    found = []
    for path in sorted(folder.glob("*/config.toml")):
        try:
            run = Run.at(path.parent)
            if run.done:
                run.result()
                found.append(run)
        except AdvrushError:
            continue
    return found


def config_of(run: Run) -> dict[str, Any]:
    """Return the configuration of a run as plain values."""
    return read_toml(run.path / "config.toml")
