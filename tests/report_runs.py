"""Run directories in the format that the stages write, for the tests of the report."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
from safetensors.numpy import save_file
from sklearn.datasets import load_digits

from advrush.evaluation.intervals import wilson
from advrush.report.records import softmax
from advrush.space import DARTS, PUBLISHED, Architecture

ENVIRONMENT = {
    "advrush": "0.1.0", "python": "3.11", "torch": "2.13", "platform": "Linux", "cpus": 2, "gpu": None,
    "command": ["advrush", "demo"],
}  # fmt: skip


def make_search(
    runs: Path, *, name: str = "found", seed: int = 0, epochs: int = 10, warmup: int = 6, done: bool = True,
    measured: bool = True,
) -> Path:  # fmt: skip
    """Make a search of digits whose alphas drift from nearly equal to decided ones."""
    path = _open(runs, "search", f"{name}-5eed000{seed}", {
        "name": name, "objective": "advrush", "space": "darts", "epochs": epochs, "warmup_epochs": warmup,
        "channels": 8, "layers": 5, "seed": seed, "data": {"dataset": "digits"}, "curvature": {"gamma": 0.01},
    })  # fmt: skip
    rng = np.random.default_rng(seed)
    shape = (len(DARTS.topology.edges), len(DARTS.primitives))
    aims = {kind: rng.normal(size=shape) for kind in DARTS.kinds}
    (path / "alphas").mkdir()
    rows: list[dict[str, Any]] = []
    for epoch in range(epochs if done else epochs // 2):
        alphas = {kind: (0.25 * (epoch + 1) * aim).astype(np.float32) for kind, aim in aims.items()}
        save_file(alphas, path / "alphas" / f"epoch-{epoch:03d}.safetensors")
        rows.append(_search_row(epoch, warmup, alphas, measured=measured, lift=1 + 0.1 * seed))
    _metrics(path, rows)
    if done:
        found = rows[-1]["genotype"]
        _json(path / "genotype.json", found)
        last = {key: rows[-1][key] for key in ("loss_val", "acc_val", "curvature")}
        _json(path / "result.json", {"genotype": found, **last, "seconds": sum(row["seconds"] for row in rows)})
    return path


def make_changing_search(runs: Path) -> Path:
    """Make a search of ten epochs whose first four have the published cells of DARTS."""
    path = make_search(runs, name="changing")
    rows = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    for row in rows:
        row["genotype"] = PUBLISHED["DARTS_V2"].to_dict() if row["epoch"] < 4 else rows[-1]["genotype"]
    _metrics(path, rows)
    return path


def _search_row(
    epoch: int, warmup: int, alphas: Mapping[str, Any], *, measured: bool, lift: float
) -> dict[str, Any]:  # fmt: skip
    weights = {kind: softmax(alpha.astype(np.float64)) for kind, alpha in alphas.items()}
    genotype = DARTS.discretize(weights)
    warm = epoch < warmup
    curvature = lift * 0.4 * math.exp(0.1 * epoch if warm else 0.1 * warmup - 0.5 * (epoch - warmup))
    return {
        "epoch": epoch, "phase": "warmup" if warm else "objective", "lr": 0.025, "loss_train": 2.2 * 0.8**epoch,
        "acc_train": 1 - 0.8 ** (epoch + 1), "loss_val": lift * 2.3 * 0.82**epoch, "acc_val": 1 - 0.82 ** (epoch + 1),
        "curvature": curvature if measured or not warm else None,
        "alpha_entropy": {kind: float(-(w * np.log(w)).sum(-1).mean()) for kind, w in weights.items()},
        "skips": {kind: skips(genotype, kind) for kind in DARTS.kinds}, "genotype": genotype.to_dict(), "seconds": 3.5,
    }  # fmt: skip


def skips(genotype: Architecture, kind: str) -> int:
    return sum(edge.primitive == "skip_connect" for edge in genotype.cells()[kind].edges)


def make_training(
    runs: Path, *, name: str = "network", arch: str = "resnet18", parameters: int = 35_210, level: float = 0.5,
    epochs: int = 8, done: bool = True,
) -> Path:  # fmt: skip
    """Make an adversarial training whose robust accuracy is measured in every second epoch."""
    path = _open(runs, "train", f"{name}-7a110001", {
        "name": name, "arch": arch, "objective": "pgd", "epochs": epochs, "data": {"dataset": "digits"},
    })  # fmt: skip
    rows = [
        {
            "epoch": epoch, "lr": 0.1, "loss_train": 2.3 * 0.85**epoch, "acc_train": 1 - 0.85 ** (epoch + 1),
            "clean_acc_val": level + 0.3 * (1 - 0.7 ** (epoch + 1)),
            "robust_acc_val": level * (1 - 0.7 ** (epoch + 1)) if epoch % 2 else None, "seconds": 41.0,
        }
        for epoch in range(epochs if done else epochs // 2)
    ]  # fmt: skip
    _metrics(path, rows)
    if done:
        _json(path / "result.json", {
            "parameters": parameters, "clean_acc_val": rows[-1]["clean_acc_val"],
            "robust_acc_val": rows[-1]["robust_acc_val"], "best_epoch": epochs - 1, "seconds": 41.0 * epochs,
        })  # fmt: skip
    return path


def make_evaluation(
    runs: Path, *, model: str, digest: str = "e0a1000a", correct: Mapping[str, int], examples: int = 500,
    color: bool = False,
) -> Path:  # fmt: skip
    """Make an evaluation from counts of correct examples: `clean` and one count an attack."""
    path = _open(runs, "evaluate", f"attack-{digest}", {
        "name": "attack", "model": model, "attacks": [key for key in correct if key != "clean"], "eps": 0.031,
        "data": {"dataset": "digits"},
    })  # fmt: skip
    rng = np.random.default_rng(0)
    flags = {key: rng.permutation(np.arange(examples) < count) for key, count in correct.items()}
    worst = int(np.stack(list(flags.values())).all(axis=0).sum())
    attacks = [
        {
            "name": key, "robust_acc": count / examples, "interval": list(wilson(count, examples)), "seconds": 2.5,
            "forwards": 20 * examples, "backwards": 19 * examples,
        }
        for key, count in correct.items()
        if key != "clean"
    ]  # fmt: skip
    _json(path / "result.json", {
        "model": model, "dataset": "digits", "classes": [f"digit {i}" for i in range(10)], "examples": examples,
        "threat_model": {"norm": "Linf", "eps": 0.031}, "clean_acc": correct["clean"] / examples,
        "clean_interval": list(wilson(correct["clean"], examples)), "attacks": attacks,
        "worst_case": {"robust_acc": worst / examples, "interval": list(wilson(worst, examples))},
    })  # fmt: skip
    save_file(flags, path / "flags.safetensors")
    save_file(_pictures(rng, color=color), path / "examples.safetensors")
    return path


def _pictures(rng: np.random.Generator, *, color: bool) -> dict[str, Any]:
    """Return ten real digits and versions moved by 0.031 a pixel; every second one changes its prediction."""
    digits = load_digits()
    x = (digits.images[:10, None] / 16).astype(np.float32)
    x = np.repeat(x, 3, axis=1) * np.array([1, 0.8, 0.6], np.float32).reshape(1, 3, 1, 1) if color else x
    x_adv = np.clip(x + 0.031 * rng.choice([-1, 1], size=x.shape), 0, 1).astype(np.float32)
    y = digits.target[:10].astype(np.int64)
    return {"x": x, "x_adv": x_adv, "y": y, "pred": y, "pred_adv": np.where(np.arange(10) % 2, (y + 1) % 10, y)}


def _open(runs: Path, stage: str, name: str, config: Mapping[str, Any]) -> Path:
    path = runs / stage / name
    path.mkdir(parents=True)
    (path / "config.toml").write_text(tomli_w.dumps(dict(config)))
    _json(path / "environment.json", ENVIRONMENT)
    return path


def _metrics(path: Path, rows: list[dict[str, Any]]) -> None:
    (path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def _json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value))
