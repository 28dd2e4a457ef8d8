"""`analyze architecture`: Table 6 for any architectures: anatomy, sizes, and robustness scores where there are some."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from importlib import resources
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
from advrush.run import Run


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
    if (printed := paper_row(subject)) is not None:
        row["printed"] = printed
    return row


def paper_row(subject: Subject) -> dict[str, Any] | None:
    """Return what Table 6 prints of a published architecture, None where it prints nothing of it."""
    if subject.architecture is None:
        return None
    table: dict[str, Any] = json.loads(resources.files("advrush.analysis").joinpath("printed.json").read_text())
    found: dict[str, Any] | None = table.get(display_name(subject.architecture))
    return found
