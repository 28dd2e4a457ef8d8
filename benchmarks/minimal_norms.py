"""Compare the smallest perturbations of DeepFool and Carlini-Wagner, image by image, with foolbox's.

    python benchmarks/minimal_norms.py python:my_module:my_model --dataset cifar10 --data-dir PATH --examples 50

Settings are foolbox's: 50 steps, overshoot 0.02, 10 classes; 9 weights from 0.001, learning rate 0.01, 1000 steps.
foolbox must be installed (`pip install foolbox`); it is no dependency of this package.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import foolbox
import torch

from advrush import CarliniWagner, DataConfig, DeepFool
from advrush.attacks import MinimalNorm, evaluating, frozen
from advrush.attacks.passes.counting import counting
from advrush.evaluation import find_target
from hardware import hardware

PAIRS: dict[str, tuple[MinimalNorm, Any]] = {
    "deepfool": (DeepFool(), foolbox.attacks.L2DeepFoolAttack()),
    "cw_l2": (CarliniWagner(), foolbox.attacks.L2CarliniWagnerAttack(steps=1000)),
}


def compare(model: torch.nn.Module, x: torch.Tensor, y: torch.Tensor, name: str) -> dict[str, object]:
    """Return what both found on the images that the model classifies correctly, and at which cost."""
    ours, theirs = PAIRS[name]
    with evaluating(model), frozen(model):
        with torch.no_grad():
            right = model(x).argmax(1) == y
        x, y = x[right], y[right]
        started = time.process_time()
        with counting(model) as passes:
            points, norms = ours.smallest(model, x, y)
        between = time.process_time()
        with counting(model) as others:
            _, found, _ = theirs(foolbox.PyTorchModel(model, (0, 1), device="cpu"), x, y, epsilons=None)
        ended = time.process_time()
        with torch.no_grad():
            assert torch.equal(model(points).argmax(1) != y, norms.isfinite())
            broken = model(found).argmax(1) != y
    reference = torch.where(broken, (found - x).flatten(1).norm(dim=1), torch.inf)
    both = norms.isfinite() & reference.isfinite()
    ratio = (norms / reference)[both].double()
    return {
        "images": len(x),
        "found": [int(norms.isfinite().sum()), int(reference.isfinite().sum())],
        "median": [_finite(float(each.median())) for each in (norms, reference)],
        "ratio": {str(q): round(float(ratio.quantile(q)), 4) for q in (0.0, 0.05, 0.5, 0.95, 1.0)},
        "forwards": [passes.forwards, others.forwards],
        "cpu_s": [round(between - started, 2), round(ended - between, 2)],
    }


def _finite(value: float) -> float | None:
    """Return the value rounded, None where it is infinite: more than half of the images were not broken."""
    return round(value, 4) if value < float("inf") else None


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows in Markdown."""
    lines = [
        "| network | attack | images | found, foolbox's | median L2, foolbox's | ratio: 5%, median, 95% |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for row in rows:
        ratio = ", ".join(f"{row['ratio'][q]:.3f}" for q in ("0.05", "0.5", "0.95"))
        found, median = (", ".join("none" if v is None else str(v) for v in row[key]) for key in ("found", "median"))
        lines.append(f"| {row['network']} | {row['attack']} | {row['images']} | {found} | {median} | {ratio} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="+", help="RUN, weights file or python:MODULE:FACTORY")
    parser.add_argument("--dataset", default="cifar10")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--examples", type=int, default=50)
    parser.add_argument("--attacks", nargs="+", default=list(PAIRS), choices=list(PAIRS))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "minimal_norms-cpu.json")
    args = parser.parse_args()
    test = DataConfig(args.dataset, test_examples=args.examples, test_all=args.dataset == "bracket").load(args.data_dir)
    x, y = test.test.images.float() / 255, test.test.labels
    rows = json.loads(args.out.read_text())["rows"] if args.out.is_file() else []
    for target in args.targets:
        model = find_target(target).model
        for name in args.attacks:
            rows.append({"network": target.rpartition(":")[2], "attack": name, **compare(model, x, y, name)})
            print(rows[-1], flush=True)
            args.out.write_text(json.dumps({"hardware": hardware(), "rows": rows}, indent=1) + "\n")
    print(table(rows))


if __name__ == "__main__":
    main()
