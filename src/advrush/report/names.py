"""Names of models for people, from the runs that made them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from advrush.errors import AdvrushError, RunError
from advrush.models.build import display_name
from advrush.report.records import Record
from advrush.space import Architecture


def model_names(runs: Sequence[Record], records: Sequence[Record]) -> dict[Path, str]:
    """Return a name for each run (a training, an evaluation or a search) that no other of them has.

    A training goes by its name and architecture, an evaluation by that of the training that it attacks; the digest
    is added where two would be alike.
    """
    plain = {record.path: _name(record, records) for record in runs}
    count = Counter(plain.values())
    return {
        record.path: plain[record.path] if count[plain[record.path]] == 1 else f"{plain[record.path]} {record.digest}"
        for record in runs
    }


def architecture_name(arch: str, records: Sequence[Record]) -> str:
    """Return an architecture's published name, or which search of the report found it."""
    try:
        name = display_name(arch)
    except AdvrushError:
        return arch if len(arch) <= 40 else "own architecture"
    if name != "genotype":
        return name
    searches = [record for record in records if record.stage == "search"]
    for record in searches:
        genotype = record.genotype()
        if genotype is not None and _same(arch, genotype, record):
            return "architecture found" if len(searches) == 1 else f"found by {seed_names(searches)[record.path]}"
    return "own genotype"


def seed_names(searches: Sequence[Record]) -> dict[Path, str]:
    """Return short names of searches: by seed where nothing else of the names differs."""
    names = Counter(record.name for record in searches)
    seeds = Counter((record.name, record.config.get("seed")) for record in searches)
    result = {}
    for record in searches:
        seed = record.config.get("seed")
        if names[record.name] == 1:
            result[record.path] = record.name
        elif seeds[record.name, seed] == 1:
            result[record.path] = f"seed {seed}" if len(names) == 1 else f"{record.name}, seed {seed}"
        else:
            result[record.path] = f"{record.name} {record.digest}"
    return result


def _same(arch: str, genotype: Architecture, record: Record) -> bool:
    try:
        return record.space is not None and record.space.parse(arch) == genotype
    except AdvrushError:
        return False


def _name(record: Record, records: Sequence[Record]) -> str:
    if record.stage == "train":
        arch = record.config.get("arch")
        return f"{record.name} ({architecture_name(arch, records)})" if isinstance(arch, str) else record.name
    if record.stage == "evaluate":
        model = str((record.result or record.config).get("model") or record.name)
        training = trained_by(record, records)
        return _name(training, records) + _checkpoint(model) if training else model
    return record.name


def _checkpoint(label: str) -> str:
    """Return ", drop" for `train/NAME/drop`: which checkpoint of a training is meant."""
    parts = label.split("/")
    return f", {parts[2]}" if len(parts) == 3 else ""


def label_name(label: str, records: Sequence[Record]) -> str:
    """Return the name of the network that an evaluation or a transfer calls `label`."""
    run = "/".join(label.split("/")[:2])
    training = next((record for record in records if record.label == run), None)
    return _name(training, records) + _checkpoint(label) if training else label


def network_name(label: str, analysis: Record, records: Sequence[Record]) -> str:
    """Return the name of the network that an analysis calls `label`: of a training of the report, or beside the run."""
    absent = all(record.label != label for record in records)
    training = _beside(analysis, label) if absent else None
    return _name(training, records) if training else label_name(label, records)


def network_training(label: str, analysis: Record, records: Sequence[Record]) -> Record | None:
    """Return the training of the network that an analysis calls `label`: of the report, or beside the run."""
    run = "/".join(label.split("/")[:2])
    return next((record for record in records if record.label == run), None) or _beside(analysis, run)


def analyzed_names(analyses: Sequence[Record], records: Sequence[Record]) -> dict[str, str]:
    """Return the name of each analysis's network by the analysis's label, with the digest where two are alike."""
    plain = {r.label: network_name(str((r.result or {}).get("model")), r, records) for r in analyses}
    count = Counter(plain.values())
    return {r.label: plain[r.label] if count[plain[r.label]] == 1 else f"{plain[r.label]} {r.digest}" for r in analyses}


def trained_by(evaluation: Record, records: Sequence[Record]) -> Record | None:
    """Return the training whose network was evaluated: among the report's runs, else beside the evaluation."""
    model = str((evaluation.result or evaluation.config).get("model", ""))
    model = "/".join(model.split("/")[:2])  # a third part names the checkpoint
    for record in records:
        if record.label == model:
            return record
    return _beside(evaluation, model)


def _beside(run: Record, label: str) -> Record | None:
    """Return the training of that label in the run's folder of runs; None where there is none that can be read."""
    path = run.path.resolve().parent.parent / label
    if not (label.startswith("train/") and label.count("/") == 1 and (path / "config.toml").is_file()):
        return None
    try:
        return Record.read(path)
    except RunError:  # damaged: its evaluation is still told of, by the training's folder
        return None
