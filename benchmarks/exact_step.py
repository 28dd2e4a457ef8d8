"""Time the architecture step with the exact ||H||_F beside L_lambda's and the plain one, in both search spaces.

    python benchmarks/exact_step.py --channels 8 --layers 3 --batch 16 --side 16

The three take turns, so that other load on the machine falls on all of them. In float64 the exact norm's gradient in
alpha is asserted to equal that of the double backward pass through the Hessian itself.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import torch
from torch import Tensor

from advrush.models.supernet import Supernet
from advrush.parallel import Parallel
from advrush.searching.objectives import AdvRush, Batch, Darts, ExactCurvature
from advrush.space import space_named
from hardware import hardware

GAMMA, H = 0.1, 1.5
SPACES = ("darts", "nasbench201")


def supernet_of(space: str, channels: int, layers: int, side: int) -> Supernet:
    """Return a supernet with decided alphas whose batch-norm statistics are those of one batch."""
    torch.manual_seed(0)
    net = Supernet(space_named(space), channels=channels, layers=layers)
    with torch.no_grad():
        net(torch.randn(8, 3, side, side))
        for alpha in net.alphas().values():
            alpha.normal_(std=0.5)
    return net


def batch_of(net: Supernet, size: int, side: int) -> Batch:
    """Return a batch of normalized noise."""
    torch.manual_seed(1)
    x, y = torch.randn(size, 3, side, side), torch.randint(10, (size,))
    optimizer = torch.optim.SGD(net.weights(), 0.025)
    return Batch(x, y, x, y, optimizer, Parallel(0, 1, torch.device("cpu")), torch.Generator())


def flat(gradients: dict[str, Tensor]) -> Tensor:
    """Return gradients as one vector."""
    return torch.cat([gradient.flatten() for gradient in gradients.values()])


def float64_error(space: str) -> float:
    """Return the relative error of the exact norm's gradient against double backward, at a small size."""
    torch.set_default_dtype(torch.float64)
    try:
        net = supernet_of(space, 2, 3, 8)
        batch = batch_of(net, 2, 8)
        (value, got), (truth, wanted) = (
            ExactCurvature(GAMMA, H, fast=fast).curvature(net, batch.x_val, batch.y_val) for fast in (True, False)
        )
    finally:
        torch.set_default_dtype(torch.float32)
    error = float((flat(got) - flat(wanted)).norm() / flat(wanted).norm())
    assert error < 1e-8 and abs(float(value - truth)) < 1e-8 * float(truth), (space, error)
    return error


def measured(space: str, args: argparse.Namespace) -> dict[str, object]:
    """Return the processor seconds of one architecture step by objective, and their ratios."""
    net = supernet_of(space, args.channels, args.layers, args.side)
    batch = batch_of(net, args.batch, args.side)
    objectives = {"plain": Darts(), "L_lambda": AdvRush(GAMMA, H), "exact": ExactCurvature(GAMMA, H)}
    seconds: dict[str, list[float]] = {name: [] for name in objectives}
    for turn in range(args.repeats + 1):
        for name, objective in objectives.items():
            start = time.process_time()
            objective.alpha_step(net, batch)
            if turn:  # the first warms up
                seconds[name].append(time.process_time() - start)
    medians = {name: statistics.median(each) for name, each in seconds.items()}
    pairs = zip(seconds["exact"], seconds["L_lambda"], strict=True)
    ratios = sorted(exact / approximate for exact, approximate in pairs)
    return {
        "cpu_s": medians, "exact / L_lambda": medians["exact"] / medians["L_lambda"],
        "exact / L_lambda, least and most": (ratios[0], ratios[-1]),
        "L_lambda / plain": medians["L_lambda"] / medians["plain"], "float64_error": float64_error(space),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("batch", 16), ("channels", 8), ("layers", 3), ("side", 16), ("repeats", 5)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "exact_step-cpu.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    setting = {name: getattr(args, name) for name in ("batch", "channels", "layers", "side", "repeats")}
    report: dict[str, object] = {"setting": setting, "hardware": hardware()}
    for space in SPACES:
        report[space] = measured(space, args)
        print(space, json.dumps(report[space], indent=1), flush=True)
    args.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
