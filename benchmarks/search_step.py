"""Time the search step against the textbook's, side by side, and assert that both compute the same.

    python benchmarks/search_step.py                  the paper's setting: C = 16, 8 cells, batch 32, 3x32x32
    python benchmarks/search_step.py --sweep          how the program's own step grows with batch, channels, side
    python benchmarks/search_step.py --gpu            steps per second and the projected time of 60 epochs

The textbook's regularized step takes about a minute and 22 GiB on two CPU cores at the paper's setting. Every side
runs in a process of its own, so that its peak memory is its own, and begins with the same numbers.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from hardware import hardware
from sides import ProgramSide, TextbookSide, build, examples, textbook_net

SIDES = ("textbook", "textbook channels_last", "advrush")
EPOCHS, WARMUP, TRAIN_HALF, BATCH = 60, 50, 25_000, 32
HEAVY = 1e6
"""Weight that brings L_lambda of a random network, about 1e-7, to the size of the loss where gradients are compared."""
Step = Callable[[], None]


def cost(step: Step, device: str) -> tuple[float, float]:
    """Return the wall and the processor seconds of one call; the second hardly feel what else the machine does."""
    if device == "cuda":
        torch.cuda.synchronize()
    start, cpu = time.perf_counter(), time.process_time()
    step()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start, time.process_time() - cpu


def measure(side: str, phase: str, args: argparse.Namespace) -> dict[str, float]:
    """Time the two halves of a step in this process; in the regularized phase also write the gradients down."""
    work, regularized = build(side, args), phase == "regularized"
    if regularized:
        torch.save(work.gradients(HEAVY)[0], args.gradients)
    else:
        work.alpha(False)
        work.weight()
    costs = [
        (*cost(lambda: work.alpha(regularized), args.device), *cost(work.weight, args.device))
        for _ in range(args.repeats)
    ]
    peak = torch.cuda.max_memory_allocated() / 2**30 if args.device == "cuda" else peak_memory()
    alpha, alpha_cpu, weight, weight_cpu = (statistics.median(column) for column in zip(*costs, strict=True))
    return {
        "alpha_s": alpha, "weight_s": weight, "step_s": alpha + weight, "step_cpu_s": alpha_cpu + weight_cpu,
        "alpha_cpu_s": alpha_cpu, "peak_gib": peak,
    }  # fmt: skip


def peak_memory() -> float:
    """Return the largest resident memory of this process, in GiB (getrusage would count the parent's)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 2**20


def in_process(who: str, phase: str, args: argparse.Namespace, **other: object) -> dict[str, float]:
    """Run `measure` in a process of its own."""
    options = {**vars(args), "measure": f"{who}:{phase}", **other}
    named = [f"--{k.replace('_', '-')}={v}" for k, v in options.items() if not isinstance(v, bool) and v is not None]
    answer = subprocess.run([sys.executable, __file__, *named], check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, float] = json.loads(answer.stdout.splitlines()[-1])
    numbers = "  ".join(
        f"{key} {value:8.3f}" if isinstance(value, float) else f"{key} {value}" for key, value in result.items()
    )
    print(f"{who:24s} {phase:12s} {numbers}", flush=True)
    return result


def relative(got: list[Tensor], wanted: list[Tensor]) -> float:
    """Return ||got - wanted|| / ||wanted||, all tensors together."""
    both = [torch.cat([t.double().flatten() for t in tensors]) for tensors in (got, wanted)]
    return float((both[0] - both[1]).norm() / both[1].norm())


def differences(got: list[Tensor], wanted: list[Tensor]) -> dict[str, float]:
    """Return the relative errors of the loss's alpha gradients and of L_lambda's, which is what its weight adds."""
    half = len(wanted) // 2
    parts = [[more - plain for plain, more in zip(each, each[half:], strict=False)] for each in (got, wanted)]
    return {"loss": relative(got[:half], wanted[:half]), "L_lambda": relative(*parts)}


def float64_errors(args: argparse.Namespace) -> dict[str, float]:
    """Return the errors of the program's gradients in float64 at a small size."""
    small = argparse.Namespace(**{**vars(args), "channels": 4, "batch": 4, "side": 16, "device": "cpu"})
    torch.set_default_dtype(torch.float64)
    try:
        (wanted, w_wanted), (got, w_got) = (build(side, small).gradients(HEAVY) for side in ("textbook", "advrush"))
    finally:
        torch.set_default_dtype(torch.float32)
    errors = {**differences(got, wanted), "weights": relative(w_got, w_wanted)}
    assert max(errors.values()) < 1e-9, errors
    return errors


def float32_errors(args: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Return how far each side's float32 gradients lie from the textbook's in float64, at full width and batch 4.

    A ReLU or a maximum near its kink falls to the other side when a state changes by one rounding, so that float32
    gradients of such a network are good to about the square root of its precision, whoever computes them.
    """
    few = argparse.Namespace(**{**vars(args), "batch": 4, "device": "cpu"})
    torch.set_default_dtype(torch.float64)
    try:
        wanted = build("textbook", few).gradients(HEAVY)[0]
    finally:
        torch.set_default_dtype(torch.float32)
    errors = {side: differences(build(side, few).gradients(HEAVY)[0], wanted) for side in SIDES}
    for part, error in errors["advrush"].items():
        assert error < max(1e-4, 3 * errors["textbook"][part]), errors
    return errors


def compare(args: argparse.Namespace) -> dict[str, object]:
    """Measure all sides in both phases; assert equality; return times, ratios, errors, memory."""
    # the float32 errors at full width take longer than warm-up steps
    errors = {"float64_errors": float64_errors(args)} if args.warmup_only else in_process("errors", "", args)
    report: dict[str, object] = dict(errors)
    times: dict[str, dict[str, dict[str, float]]] = {}
    gradients: dict[str, list[Tensor]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for side in SIDES:
            path = Path(folder) / f"{side.replace(' ', '-')}.pt"
            times[side] = {phase: in_process(side, phase, args, gradients=path) for phase in phases(args)}
            if not args.warmup_only:
                gradients[side] = torch.load(path, weights_only=True)
    report |= {"times": times, "ratios": ratios(times, phases(args)), "peak": shares_of_peak(args, times["advrush"])}
    if args.warmup_only:
        return report
    wanted = gradients["textbook"]
    report["float32_differences"] = {side: differences(gradients[side], wanted) for side in SIDES[1:]}
    return report


def phases(args: argparse.Namespace) -> tuple[str, ...]:
    """Return the phases of a search that are timed."""
    return ("warmup",) if args.warmup_only else ("warmup", "regularized")


def ratios(times: dict[str, dict[str, dict[str, float]]], timed: tuple[str, ...]) -> dict[str, float]:
    """Return how many times the program is faster and smaller than each baseline."""
    own = times["advrush"]
    found = {}
    for side in SIDES[:2]:
        for phase in timed:
            for key in ("step_s", "step_cpu_s", "peak_gib"):
                found[f"{side}: {phase} {key}"] = times[side][phase][key] / own[phase][key]
    for side in SIDES[:2] if "regularized" in timed else ():
        found[f"{side}: projected search of 60 epochs"] = projected(times[side]) / projected(own)
    for side in SIDES if "regularized" in timed else ():
        costs = times[side]
        found[f"{side}: regularized alpha step in plain ones"] = (
            costs["regularized"]["alpha_s"] / costs["warmup"]["alpha_s"]
        )
        found[f"{side}: the same in processor time"] = (
            costs["regularized"]["alpha_cpu_s"] / costs["warmup"]["alpha_cpu_s"]
        )
    return found


PASSES = {"warmup": 5, "regularized": 13}
"""Passes of the network that a step needs, each with a forward pass's arithmetic.

A warm-up step: forward and the gradients of the states for alpha; forward and the gradients of states and weights for
the weights. L_lambda adds at each of its two points the value, the VJP of r, the JVP and the VJP of s.
"""


def shares_of_peak(args: argparse.Namespace, times: dict[str, dict[str, float]]) -> dict[str, float]:
    """Return the machine's peak in GFLOP/s, by a product of large matrices, and the share of it that each step reaches.

    Only the convolutions' and the classifier's arithmetic is counted: batch norm, ReLU, pools and sums are not.
    """
    net, (x, *_) = textbook_net(args), examples(args)
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        net(x)
    forward = counter.get_total_flops() / 1e9
    a = torch.randn(2048, 2048)
    torch.mm(a, a)
    peak = 2 * 2048**3 / 1e9 / min(cost(lambda: torch.mm(a, a), "cpu")[0] for _ in range(10))  # type: ignore[arg-type]
    shares = {f"{phase} share": PASSES[phase] * forward / found["step_s"] / peak for phase, found in times.items()}
    return {"peak_gflops": peak, "forward_gflop": forward, **shares}


def projected(times: dict[str, dict[str, float]]) -> float:
    """Return the hours of a search's steps: 50 epochs of warm-up, 10 regularized ones."""
    steps = TRAIN_HALF // BATCH
    return steps * (WARMUP * times["warmup"]["step_s"] + (EPOCHS - WARMUP) * times["regularized"]["step_s"]) / 3600


def sweep(args: argparse.Namespace) -> dict[str, object]:
    """Time the program's step along each axis and fit time ~ size ** exponent."""
    report: dict[str, object] = {}
    axes = {"batch": (8, 16, 32, 64), "channels": (8, 16, 32), "side": (16, 32, 64)}
    for name, sizes in axes.items():
        for phase in ("warmup", "regularized"):
            with tempfile.TemporaryDirectory() as folder:
                rows = [
                    in_process("advrush", phase, args, gradients=Path(folder) / "g", **{name: size}) for size in sizes
                ]
            fits = {
                key: float(np.polyfit(np.log(sizes), np.log([row[key] for row in rows]), 1)[0])
                for key in ("step_s", "peak_gib")
            }
            report[f"{name} {phase}"] = {"sizes": sizes, "rows": rows, "exponents": fits}
            print(f"{name} {phase}: exponents {fits}", flush=True)
    return report


def gpu(args: argparse.Namespace) -> dict[str, object]:
    """Measure steps per second in this process and project a search of 60 epochs."""
    report: dict[str, object] = {}
    for side, warm, full in (("textbook", 20, 4), ("advrush", 250, 50)):
        work = build(side, args)
        work.alpha(False), work.alpha(True), work.weight()

        def steps(count: int, regularized: bool, work: TextbookSide | ProgramSide = work) -> None:
            for _ in range(count):
                work.alpha(regularized)
                work.weight()

        costs = [
            cost(lambda n=n, r=r: steps(n, r), args.device)[0] / n  # type: ignore[misc]
            for n, r in ((warm, False), (full, True))
        ]
        an_epoch = TRAIN_HALF // args.batch
        projected = an_epoch * (WARMUP * costs[0] + (EPOCHS - WARMUP) * costs[1]) / 60
        report[side] = {
            "warmup_steps_per_s": 1 / costs[0], "regularized_steps_per_s": 1 / costs[1], "steps_measured": warm + full,
            "projected_60_epochs_min": projected, "peak_gib": torch.cuda.max_memory_allocated() / 2**30,
        }  # fmt: skip
        print(side, report[side], flush=True)
        torch.cuda.reset_peak_memory_stats()
    return report


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("batch", 32), ("channels", 16), ("layers", 8), ("side", 32), ("repeats", 3)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--sweep", action="store_true")
    parser.add_argument("--gpu", action="store_true")
    parser.add_argument("--warmup-only", action="store_true", help="leave the regularized step out: minutes less")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--out", type=Path, help="where the JSON goes (default: benchmarks/results)")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("--gradients", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    args = parse()
    args.device = "cuda" if args.gpu else args.device
    if args.measure:
        side, phase = args.measure.split(":")
        errors = side == "errors"  # in a process of its own too: its memory would be missing to the textbook's
        found = {"float64_errors": float64_errors(args), "float32_errors": float32_errors(args)} if errors else None
        print(json.dumps(found or measure(side, phase, args)))
        return
    kind, run = ("gpu", gpu) if args.gpu else ("sweep", sweep) if args.sweep else ("cpu", compare)
    setting = {name: getattr(args, name) for name in ("batch", "channels", "layers", "side", "repeats")}
    report = {"setting": setting, "hardware": hardware(args.device)} | run(args)
    out = args.out or Path(__file__).parent / "results" / f"search_step-{kind}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report.get("ratios", {}), indent=1))
    print(f"written to {out}")


if __name__ == "__main__":
    main()
