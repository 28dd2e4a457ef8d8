"""Train the seven architectures of Table 1 adversarially with one budget, at comparable size; measure all alike.

    python benchmarks/architectures.py --data-dir PATH --runs-dir runs/architectures

Channels are chosen so that each network has as nearly `--parameters` parameters as it can. Interrupted and started
again, it goes on. At the default size it takes about half an hour on one CPU core; `--full` takes the networks of the
paper, for a GPU.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch

from advrush import DataConfig, EvaluateConfig, TrainConfig, build, evaluate, train
from advrush.models.build import FIXED_DEPTH, display_name
from advrush.models.count import count
from advrush.paper.fit import fitted_channels
from advrush.training import AttackConfig, OptimizerConfig
from hardware import hardware

NAMES = ("resnet18", "densenet121", "darts_v2", "pdarts", "robnet_free", "racl", "advrush")


def scaled(name: str, parameters: int, layers: int) -> tuple[int, int | None]:
    """Return the channels and layers that bring a network nearest to the wanted number of parameters."""
    depth = None if name in FIXED_DEPTH else layers
    return fitted_channels(name, depth, parameters), depth


def config_of(name: str, args: argparse.Namespace) -> TrainConfig:
    """Return the training of one architecture; all but the network is the same for all."""
    channels, layers = (None, None) if args.full else scaled(name, args.parameters, args.layers)
    return TrainConfig(
        name=name,
        arch=name,
        channels=channels,
        layers=layers,
        data=DataConfig("cifar10", None if args.full else args.images, None if args.full else args.test),
        epochs=args.epochs,
        batch_size=args.batch,
        attack=AttackConfig(eps=0.031, steps=7, step_size=0.01, val_steps=7),
        optimizer=OptimizerConfig(lr=0.1, schedule="cosine", weight_decay=5e-4),
        validation_examples=1000 if args.full else args.images // 10,
        eval_every=args.epochs,
        precision=args.precision,
    )


def measured(name: str, args: argparse.Namespace) -> dict[str, object]:
    """Train and attack one architecture; return its row."""
    where = {"data_dir": args.data_dir, "runs_dir": args.runs_dir, "device": args.device}
    config = config_of(name, args)
    run = train(config, **where)
    tested = evaluate(
        run.path, EvaluateConfig(data=config.data, attacks=("fgsm", "pgd20"), eps=0.031), **where
    ).result()
    network = build(name, channels=config.channels, layers=config.layers)
    return {
        "architecture": display_name(name),
        "channels": config.channels,
        "layers": config.layers,
        "parameters": run.result()["parameters"],
        "macs": count(network).macs,
        "clean": tested["clean_acc"],
        "clean_interval": tested["clean_interval"],
        **{attack["name"]: attack["robust_acc"] for attack in tested["attacks"]},
        "pgd20_interval": tested["attacks"][-1]["interval"],
        "loss_first": run.metrics()[0]["loss_train"],
        "loss_last": run.metrics()[-1]["loss_train"],
        "training_s": run.result()["seconds"],
        "run": run.path.name,
    }


def table(rows: list[dict[str, object]]) -> str:
    """Return the rows in Markdown."""
    lines = [
        "| architecture | parameters | MACs | clean | FGSM | PGD-20 | training |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        clean, fgsm, pgd = (f"{100 * float(row[key]):.1f}" for key in ("clean", "fgsm", "pgd20"))  # type: ignore[arg-type]
        low, high = (100 * end for end in row["pgd20_interval"])  # type: ignore[attr-defined]
        lines.append(
            f"| {row['architecture']} | {row['parameters']:,} | {row['macs'] / 1e6:.1f}M | {clean} | {fgsm} "  # type: ignore[operator]
            f"| {pgd} [{low:.1f}, {high:.1f}] | {row['training_s']:.0f} s |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True, help="CIFAR-10 in any form that the program reads")
    parser.add_argument("--runs-dir", type=Path, default=Path("runs/architectures"))
    parser.add_argument("--device", default="auto")
    parser.add_argument("--full", action="store_true", help="the paper's networks and the whole of CIFAR-10")
    parser.add_argument("--precision", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--only", nargs="*", default=NAMES, choices=NAMES)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "architectures-cpu.json")
    for option, value in (
        ("parameters", 60_000), ("layers", 5), ("images", 1100), ("test", 500), ("epochs", 5), ("batch", 32)
    ):  # fmt: skip
        parser.add_argument(f"--{option}", type=int, default=value)
    args = parser.parse_args()
    kept = json.loads(args.out.read_text())["rows"] if args.out.is_file() and len(args.only) < len(NAMES) else []
    rows = [measured(name, args) for name in args.only]
    known = {row["architecture"] for row in rows}
    rows += [row for row in kept if row["architecture"] not in known]
    print(table(rows))
    setting = {key: getattr(args, key) for key in ("parameters", "layers", "images", "test", "epochs", "batch")}
    args.out.write_text(
        json.dumps(
            {"setting": setting, "hardware": hardware("cuda" if torch.cuda.is_available() else "cpu"), "rows": rows},
            indent=1,
        )
        + "\n"
    )
    print(f"written to {args.out}")


if __name__ == "__main__":
    main()
