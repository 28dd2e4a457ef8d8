"""`analyze architecture`: Table 6 for any architectures: anatomy, sizes, and robustness scores where there are some."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from advrush.analysis.cell_anatomy import anatomy
from advrush.analysis.config import ArchitectureConfig
from advrush.analysis.stage import analyze, require
from advrush.analysis.subjects import Subject, find_subject
from advrush.models.build import display_name
from advrush.models.count import count
from advrush.progress import Display
from advrush.published import printed
from advrush.run import Run

COUNTS = {
    "max_pool": "max_pool", "avg_pool": "avg_pool", "skip_connect": "skip", "sep_conv": "sep_conv",
    "dil_conv": "dil_conv",
}  # fmt: skip
"""Table 6's column of each group of operations."""


def analyze_architecture(
    targets: Sequence[str | Path],
    config: ArchitectureConfig | None = None,
    *,
    runs_dir: Path | str = "runs",
    display: bool = True,
) -> Run:
    """Describe architectures in one table (Table 6); return the finished run.

    Args:
        targets: names (advrush, resnet18, ...), genotypes as text or files, weights files, runs of any stage.
            Trainings bring the scores of the finished evaluations beside them; several trainings of one architecture
            and size share a row.
        config: the sizes of architectures given by name.
        runs_dir: where the run directory goes.
        display: whether to show progress.

    `result.json` holds one row for each architecture: `counts`, `width`, `depth` (by cell kind), `parameters`, `macs`,
    `hrs` by training (standard: R = FGSM; adversarial: R = PGD-20), and `printed`, the paper's own numbers, where it
    prints some for that architecture.
    """
    config = config or ArchitectureConfig()
    require(len(targets) > 0, "targets: got none; expected at least one architecture or run")
    subjects = _merged([find_subject(str(target), config) for target in targets])
    config = replace(
        config,
        models=tuple(f"{one.name}: {one.key}" for one in subjects),
        evaluations=tuple(score.evaluation for one in subjects for score in one.scores),
    )

    def work(run: Run, screen: Display, _: torch.device) -> None:
        rows = [_row(one) for one in screen.steps(subjects, total=len(subjects))]
        run.finish({"what": "architecture", "rows": rows})

    return analyze(config, runs_dir, "cpu", "architecture", display=display, work=work)


def _merged(subjects: Sequence[Subject]) -> list[Subject]:
    found: dict[str, Subject] = {}
    for one in subjects:
        before = found.get(one.key)
        known = () if before is None else tuple(s for s in before.scores if s not in one.scores)
        found[one.key] = replace(before or one, scores=(*known, *one.scores))
    return list(found.values())


def _row(subject: Subject) -> dict[str, Any]:
    blueprint = subject.blueprint
    sizes = count(
        replace(blueprint, auxiliary=False).build(), image_size=blueprint.image_size, in_channels=blueprint.in_channels
    )
    row: dict[str, Any] = {"name": subject.name, "arch": blueprint.arch}
    if subject.architecture is not None:
        row |= asdict(anatomy(subject.architecture))
    row |= {
        "channels": blueprint.channels, "layers": blueprint.layers, "classes": blueprint.num_classes,
        "image_size": blueprint.image_size, "parameters": sizes.parameters, "macs": sizes.macs,
        "hrs": {score.trained: score.to_dict() for score in subject.scores},
    }  # fmt: skip
    if (told := paper_row(subject)) is not None:
        row["printed"] = told
    return row


def paper_row(subject: Subject) -> dict[str, Any] | None:
    """Return what Table 6 prints of a published architecture, None where it prints nothing of it."""
    if subject.architecture is None:
        return None
    name = display_name(subject.architecture).lower()

    def number(column: str) -> float | None:
        found = printed("table6", name, column)
        return None if found is None else found.value

    def whole(column: str) -> int:
        return int(number(column) or 0)

    if number("sep_conv") is None:
        return None
    return {
        "counts": {group: whole(column) for group, column in COUNTS.items()},
        "width": {kind: number(f"width_{kind}_c") for kind in ("normal", "reduce")},
        "depth": {kind: whole(f"depth_{kind}") for kind in ("normal", "reduce")},
        "hrs_standard": round((number("hrs_std") or 0.0) / 100, 4),
        "hrs_adversarial": round((number("hrs_adv") or 0.0) / 100, 4),
    }
