"""The accuracies of evaluations with their intervals, and which evaluations may stand in one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from advrush.evaluation.intervals import wilson
from advrush.report.labels import WORST, format_eps
from advrush.report.names import trained_by
from advrush.report.records import Record

Accuracies = dict[str, tuple[float, float, float]]
"""An accuracy and its interval, all fractions, by attack."""


def accuracies(result: Mapping[str, Any] | Any) -> Accuracies:
    """Return an evaluation's accuracies with their intervals by attack: "clean" first, "worst case" last.

    All are fractions. A Wilson interval is computed where the result has none; "worst case" is there for two or
    more attacks.
    """
    examples = int(result["examples"])

    def triple(acc: float, interval: Sequence[float] | None) -> tuple[float, float, float]:
        low, high = interval or wilson(round(acc * examples), examples)
        return acc, low, high

    found = {"clean": triple(result["clean_acc"], result.get("clean_interval"))}
    for attack in result["attacks"]:
        found[attack["name"]] = triple(attack["robust_acc"], attack.get("interval"))
    if len(result["attacks"]) > 1 and (worst := result.get("worst_case")):
        found[WORST] = triple(worst["robust_acc"], worst.get("interval"))
    return found


def by_threat(evaluations: Sequence[Record]) -> dict[str, list[Record]]:
    """Group finished evaluations that may stand in one table: same images, same threat model."""
    groups: dict[str, list[Record]] = {}
    for record in evaluations:
        if record.result is not None:
            threat = record.result["threat_model"]
            radius = f"{threat['eps']:g}" if threat["norm"] == "L1" else format_eps(threat["eps"])
            caption = (
                f"{record.result['dataset']}, {record.result['examples']:,} test images, "
                f"{threat['norm']} attacks with eps = {radius}"
            )
            precision = record.result.get("precision", {})
            if precision.get("searched", "float32") != "float32":
                caption += f", searched in {precision['searched']} and verified in {precision['verified']}"
            groups.setdefault(caption, []).append(record)
    return groups


def parameters_of(evaluation: Record, records: Sequence[Record]) -> int | None:
    """Return the parameters that the evaluated network's training counted, None if that is not to be found."""
    training = trained_by(evaluation, records)
    return (training.result or {}).get("parameters") if training else None
