"""An evaluation in the form of RobustBench's model_info: one JSON object for each network and threat model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from advrush.config import check, radius_name
from advrush.errors import ConfigError

DATASETS = {"cifar10": "cifar10", "cifar100": "cifar100", "imagenet": "imagenet"}


def model_info(
    result: Mapping[str, Any],
    *,
    name: str,
    architecture: str,
    authors: str = "",
    venue: str = "",
    link: str = "",
    reported: float | None = None,
    additional_data: bool = False,
) -> dict[str, Any]:
    """Return the record that RobustBench's leaderboard keeps of a network (Croce et al., NeurIPS 2021).

    Args:
        result: `Run.result()` of an evaluation with the attack `autoattack`.
        name: title of the paper or network.
        architecture: its name, such as ResNet-18.
        authors, venue, link: as the leaderboard shows them.
        reported: robust accuracy that the authors report, in percent; AutoAttack's here unless given.
        additional_data: whether more than the data set's training images were trained on.

    Accuracies are texts in percent with two digits, as in RobustBench; `images`, `interval` (95%, percent) and
    `passes` are additions. Raises ConfigError where AutoAttack did not run: estimates are not its verdict.
    """
    attacks = {row["name"]: row for row in result.get("attacks", ())}
    if "autoattack" not in attacks:
        ran = ", ".join(attacks) or "none"
        raise ConfigError(f"attacks: the evaluation ran {ran}; a record of RobustBench's form needs autoattack")
    check(bool(name), "name", name, "the title of the network or its paper")
    verdict, threat = attacks["autoattack"], result["threat_model"]
    robust = f"{100 * verdict['robust_acc']:.2f}"
    return {
        "link": link,
        "name": name,
        "authors": authors,
        "additional_data": additional_data,
        "number_forward_passes": 1,
        "dataset": DATASETS.get(result["dataset"], result["dataset"]),
        "venue": venue,
        "architecture": architecture,
        "eps": radius_name(float(threat["eps"]), str(threat["norm"])),
        "clean_acc": f"{100 * result['clean_acc']:.2f}",
        "reported": robust if reported is None else f"{reported:.2f}",
        "autoattack_acc": robust,
        "unreliable": bool(verdict.get("warnings")),
        "norm": threat["norm"],
        "images": result["examples"],
        "interval": [round(100 * end, 2) for end in verdict["interval"]],
        "passes": {"forward": verdict["forwards"], "backward": verdict["backwards"]},
    }
