"""The four stages at their smallest, and what of their results must not depend on interruptions."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from advrush import config as configs
from advrush.cli import main
from advrush.data import DataConfig
from advrush.evaluation import EvaluateConfig, TransferConfig, evaluate, transfer
from advrush.models.weights.saved import Blueprint
from advrush.searching import SearchConfig, search
from advrush.training import TrainConfig, train
from faults.child import forked

DATA = {"dataset": "digits", "train_examples": 48, "test_examples": 12}
TIMES = ("seconds", "forwards", "backwards", "changed", "command", "since")
"""Entries that tell of the work done in this process, which an interruption divides."""


def networks(folder: Path) -> tuple[Path, Path]:
    """Write two small networks with fixed random weights; return their files."""
    paths = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        blueprint = Blueprint("resnet18", 10, 8, 1, channels=2)
        path = folder / f"network-{seed}.safetensors"
        path.write_bytes(safetensors.torch.save(blueprint.build().state_dict(), blueprint.to_metadata()))
        paths.append(path)
    return paths[0], paths[1]


def do_search(runs: Path, files: tuple[Path, Path]) -> Path:
    """Search two epochs, one of them with L_lambda."""
    plain: dict[str, Any] = {
        "space": "nasbench201",
        "channels": 2,
        "layers": 3,
        "epochs": 2,
        "warmup_epochs": 1,
        "batch_size": 24,
    }
    plain |= {"data": DATA}
    return search(configs.from_dict(SearchConfig, plain), runs_dir=runs, display=False).path


def do_train(runs: Path, files: tuple[Path, Path]) -> Path:
    """Train two epochs adversarially."""
    plain: dict[str, Any] = {"arch": "resnet18", "channels": 2, "epochs": 2, "batch_size": 12, "data": DATA}
    plain |= {"validation_examples": 8, "attack": {"steps": 2, "val_steps": 2}, "optimizer": {"lr": 0.05}}
    return train(configs.from_dict(TrainConfig, plain), runs_dir=runs, display=False).path


def do_evaluate(runs: Path, files: tuple[Path, Path]) -> Path:
    """Attack a network in batches, with an ensemble and a curve."""
    data = configs.from_dict(DataConfig, DATA)
    config = EvaluateConfig(data=data, attacks=("fgsm", "pgd20"), batch_size=4, sweep_steps=(1, 3))
    return evaluate(files[0], config, runs_dir=runs, display=False).path


def do_transfer(runs: Path, files: tuple[Path, Path]) -> Path:
    """Attack two networks with each other's examples."""
    config = TransferConfig(data=configs.from_dict(DataConfig, DATA), attack="pgd20", batch_size=6)
    return transfer(files, config, runs_dir=runs, display=False).path


STAGES: dict[str, Callable[[Path, tuple[Path, Path]], Path]] = {
    "search": do_search,
    "train": do_train,
    "evaluate": do_evaluate,
    "transfer": do_transfer,
}


def fingerprint(runs: Path) -> dict[str, str]:
    """Return a digest of the content of every result under a folder of runs, times left out."""
    found = {}
    for path in sorted(
        p for p in runs.rglob("*") if p.is_file() and p.suffix in (".json", ".jsonl", ".safetensors", ".toml")
    ):
        if path.name in ("environment.json",):
            continue
        content = path.read_bytes()
        if path.suffix in (".json", ".jsonl"):
            rows = (
                [json.loads(line) for line in content.splitlines()] if path.suffix == ".jsonl" else json.loads(content)
            )
            content = json.dumps(_timeless(rows), sort_keys=True).encode()
        found[str(path.relative_to(runs))] = hashlib.sha256(content).hexdigest()[:12]
    left = [str(path.relative_to(runs)) for path in runs.rglob("*.tmp")]
    return found | dict.fromkeys(left, "left behind")


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _timeless(item) for key, item in value.items() if key not in TIMES}
    return [_timeless(item) for item in value] if isinstance(value, list) else value


def warm_up(scratch: Path) -> None:
    """Import here, in the process that forks, all that the stages import on their way; nothing is computed here."""
    scratch.mkdir(parents=True)
    files = networks(scratch)
    listed = scratch / "modules"

    def go() -> None:
        for stage in STAGES.values():
            stage(scratch / "runs", files)
        run = next((scratch / "runs").rglob("config.toml")).parent
        main(["show", str(run)])
        main(["report", str(run), "--out", str(scratch / "page.html")])
        listed.write_text("\n".join(sys.modules))

    outcome = forked(go, scratch / "output")
    if outcome.status:
        raise RuntimeError(f"the stages do not run undisturbed:\n{outcome.output}")
    for name in listed.read_text().splitlines():
        with contextlib.suppress(Exception):
            importlib.import_module(name)
