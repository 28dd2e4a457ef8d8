"""Compare each attack's outcome, example by example, with the published implementation's (`pyautoattack`).

    python benchmarks/parity.py python:my_module:my_model RUN --eps 0.0078 0.0157 --dataset cifar10 --data-dir PATH

Budgets are the standard ones, seeds the same. Results are added to the JSON after each comparison; what stands there
already is not measured again, so that a stopped comparison goes on.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import pyautoattack
import torch

from advrush import DataConfig
from advrush.attacks import AutoAttack
from advrush.evaluation import find_target
from hardware import hardware

ATTACKS = {"apgd_ce": "apgd-ce", "apgd_t": "apgd-t", "fab_t": "fab-t", "square": "square"}


def compare(model: torch.nn.Module, x: torch.Tensor, y: torch.Tensor, eps: float, name: str) -> dict[str, object]:
    """Return both outcomes of one attack, or of the standard cascade, and in how many examples they differ."""
    size = len(x)
    if name == "standard":
        ours = AutoAttack(eps=eps, batch_size=size)
        reference = pyautoattack.AutoAttack(model, eps=eps, seed=ours.seed, device=str(x.device))
    else:
        ours = AutoAttack(eps=eps, version="custom", attacks=(name,), batch_size=size)
        reference = pyautoattack.AutoAttack(
            model, eps=eps, seed=ours.seed, device=str(x.device), version="custom", attacks=[ATTACKS[name]]
        )
        reference.apgd.n_restarts = 1  # a custom list of the published class has 5, its standard ensemble 1
    started = time.process_time()
    outcome = ours.run(model, x, y)
    between = time.process_time()
    predicted = reference.run_standard_evaluation(x, y, batch_size=size)[1]
    theirs = (predicted == y).cpu()
    return {
        "clean": int(outcome.clean.sum()),
        "ours_robust": int(outcome.flags.sum()),
        "theirs_robust": int(theirs.sum()),
        "differing": (outcome.flags != theirs).nonzero().flatten().tolist(),
        "ours_cpu_s": round(between - started, 2),
        "theirs_cpu_s": round(time.process_time() - between, 2),
    }


def table(rows: list[dict[str, object]]) -> str:
    """Return the rows in Markdown: a line for each network and radius, left correct and differing for each attack."""
    names = [*ATTACKS, "standard"]
    lines = [
        f"| network | eps | examples | clean | {' | '.join(names)} |",
        f"|---|---:|---:|---:|{'---:|' * len(names)}",
    ]
    found = {(row["network"], row["eps"], row["examples"], row["attack"]): row for row in rows}
    for network, eps, examples in dict.fromkeys(key[:3] for key in found):
        own = [found.get((network, eps, examples, name)) for name in names]
        clean = next(row["clean"] for row in own if row)
        cells = (f"{row['ours_robust']}, {len(row['differing'])}" if row else "–" for row in own)  # type: ignore[arg-type]
        lines.append(f"| {network} | {eps:.4g} | {examples} | {clean} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="+", help="RUN, weights file or python:MODULE:FACTORY")
    parser.add_argument("--eps", type=float, nargs="+", required=True)
    parser.add_argument("--dataset", default="cifar10")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--examples", type=int, default=256)
    parser.add_argument("--attacks", nargs="+", default=[*ATTACKS, "standard"], choices=[*ATTACKS, "standard"])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "parity-cpu.json")
    args = parser.parse_args()
    test = DataConfig(args.dataset, test_examples=args.examples).load(args.data_dir).test
    x, y = test.images.float() / 255, test.labels
    rows = json.loads(args.out.read_text())["rows"] if args.out.is_file() else []
    done = {(row["network"], row["eps"], row["attack"], row["examples"]) for row in rows}
    for target in args.targets:
        model = find_target(target).model.eval()
        for eps in args.eps:
            for name in args.attacks:
                network = Path(target).name if Path(target).exists() else target
                if (network, eps, name, args.examples) in done:
                    continue
                found = compare(model, x, y, eps, name)
                rows.append({"network": network, "eps": eps, "attack": name, "examples": args.examples, **found})
                print(rows[-1], flush=True)
                args.out.write_text(json.dumps({"hardware": hardware(), "rows": rows}, indent=1) + "\n")
    print(table(rows))


if __name__ == "__main__":
    main()
