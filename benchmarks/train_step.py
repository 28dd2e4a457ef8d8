"""Time a step of PGD-7 adversarial training against the textbook's, side by side; assert that both compute the same.

    python benchmarks/train_step.py                 the AdvRush network: C = 36, 20 cells, batch 16, 3x32x32
    python benchmarks/train_step.py --gpu           eager float32, bfloat16 and compiled, images per second

The textbook's network is the program's own, run module by module in the layout that torch gives it. The textbook makes
an extra clean pass in train mode, which moves the running statistics; both ratios, with and without it, are printed.
Every side runs in a process of its own, so that its peak memory is its own.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
from torch import Tensor, nn

from advrush.attacks import PGD
from advrush.models import cell, network
from advrush.models.build import build
from advrush.parallel import Parallel
from advrush.training import TrainConfig
from advrush.training.objectives import Adversarial, gradients
from advrush.training.step import Stepper
from hardware import hardware
from search_step import cost, peak_memory, relative
from textbook.train import EPS, STEP_SIZE, STEPS, TextbookTraining

ATTACK = PGD(eps=EPS, steps=STEPS, step_size=STEP_SIZE, start="normal")
SIDES = ("textbook", "textbook without the clean pass", "advrush")


def net_of(args: argparse.Namespace) -> nn.Module:
    """Return the network with its statistics moved by a batch."""
    torch.manual_seed(0)
    net = build("advrush", channels=args.channels, layers=args.layers).to(torch.get_default_dtype())
    with torch.no_grad():
        net.train()(torch.rand(4, 3, args.side, args.side))
    return net.to(args.device)


def batch(args: argparse.Namespace) -> tuple[Tensor, Tensor, Tensor]:
    """Return images, labels and the noise that the attack starts with."""
    torch.manual_seed(1)
    x, noise = torch.rand(args.batch, 3, args.side, args.side), torch.randn(args.batch, 3, args.side, args.side)
    return x.to(args.device), torch.randint(10, (args.batch,)).to(args.device), noise.to(args.device)


def plainly() -> None:
    """Let networks run module by module."""
    for module in (cell, network):
        module.fused_path_applies = lambda x: False  # type: ignore[attr-defined]


def own_gradients(net: nn.Module, x: Tensor, y: Tensor, noise: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Return the program's examples and gradients."""
    objective = Adversarial(ATTACK)
    net.train()
    net.recompute = True  # type: ignore[assignment]
    x_adv = objective.perturb(net, x, y, noise)
    return x_adv, gradients(objective, net, x, x_adv, y)[0]


def float64_errors(args: argparse.Namespace) -> dict[str, float]:
    """Return how far the program's examples and gradients are from the textbook's, in float64 at a small size."""
    small = argparse.Namespace(**{**vars(args), "channels": 4, "layers": 5, "batch": 4, "side": 16, "device": "cpu"})
    torch.set_default_dtype(torch.float64)
    found = own_gradients(net_of(small), *batch(small))
    plainly()
    wanted = TextbookTraining(net_of(small), clean_pass=False).gradients(*batch(small))
    errors = {"examples": float((found[0] - wanted[0]).abs().max()), "gradients": relative(found[1], wanted[1])}
    assert max(errors.values()) < 1e-9, errors
    return errors


def float32_errors(args: argparse.Namespace) -> dict[str, float]:
    """Return how far float32 gradients on the same examples lie from float64's, at full width: ours and the plain ones.

    Kinks make them good to about the square root of the precision, whoever computes them (see search_step.py).
    """
    few = argparse.Namespace(**{**vars(args), "batch": 2, "device": "cpu"})
    x, y, _ = batch(few)
    net = net_of(few).train()
    objective, state = Adversarial(ATTACK), {key: value.clone() for key, value in net.state_dict().items()}

    def found(dtype: torch.dtype) -> list[Tensor]:
        net.load_state_dict(state)
        wide = x.to(dtype)
        return [g.double() for g in gradients(objective, net.to(dtype), wide, wide, y)[0]]

    own = found(torch.float32)
    plainly()
    plain, wanted = found(torch.float32), found(torch.float64)
    errors = {"advrush": relative(own, wanted), "textbook": relative(plain, wanted)}
    assert errors["advrush"] < max(1e-4, 3 * errors["textbook"]), errors
    return errors


def measure(side: str, args: argparse.Namespace) -> dict[str, float]:
    """Time steps in this process."""
    torch.backends.cudnn.allow_tf32 = args.precision != "float32"
    net, (x, y, noise) = net_of(args), batch(args)
    if side.startswith("textbook"):
        plainly()
        work = TextbookTraining(net, clean_pass=side == "textbook")
        step = lambda: work.step(x, y, noise)  # noqa: E731
    else:
        config = TrainConfig(batch_size=args.batch, precision=args.precision, compile=args.compile)
        net.recompute = args.device == "cpu"  # type: ignore[assignment]
        net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        stepper = Stepper(config, net, Parallel(0, 1, torch.device(args.device)), Adversarial(ATTACK))
        generator = torch.Generator().manual_seed(1)

        def step() -> None:
            stepper(x, y, generator, lr=0.1)

    step()
    costs = [cost(step, args.device) for _ in range(args.repeats)]
    wall, cpu = (statistics.median(column) for column in zip(*costs, strict=True))
    peak = torch.cuda.max_memory_allocated() / 2**30 if args.device == "cuda" else peak_memory()
    return {"step_s": wall, "step_cpu_s": cpu, "images_per_s": args.batch / wall, "peak_gib": peak}


def in_process(side: str, args: argparse.Namespace, *options: str) -> dict[str, float]:
    """Run `measure` in a process of its own."""
    named = [f"--{key}={getattr(args, key)}" for key in ("batch", "channels", "layers", "side", "repeats", "device")]
    answer = subprocess.run(
        [sys.executable, __file__, *named, f"--measure={side}", *options], check=True, stdout=subprocess.PIPE, text=True
    )
    result: dict[str, float] = json.loads(answer.stdout.splitlines()[-1])
    print(f"{side:34s} {' '.join(options):22s}", "  ".join(f"{k} {v:.3g}" for k, v in result.items()), flush=True)
    return result


def bf16_ceiling() -> float:
    """Return the multiply-accumulates per second of a large bfloat16 product."""
    a = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
    a @ a
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(20):
        a @ a
    torch.cuda.synchronize()
    return 20 * 8192**3 / (time.perf_counter() - start)


def on_gpu(args: argparse.Namespace) -> dict[str, object]:
    """Measure eager float32 against the program in each precision; images per second as a share of the ceiling."""
    from advrush.models.count import count

    times = {"textbook": in_process("textbook", args), "advrush float32": in_process("advrush", args)}
    times["advrush bfloat16"] = in_process("advrush", args, "--precision=bfloat16")
    times["advrush bfloat16 compiled"] = in_process("advrush", args, "--precision=bfloat16", "--compile")
    passes = 2 * STEPS + 3  # forward and backward of the attack's steps, forward and twice backward of training
    macs, ceiling = count(build("advrush", channels=args.channels, layers=args.layers)).macs, bf16_ceiling()
    return {
        "times": times,
        "ratios": {side: found["images_per_s"] / times["textbook"]["images_per_s"] for side, found in times.items()},
        "share_of_bf16_ceiling": {
            side: found["images_per_s"] * passes * macs / ceiling for side, found in times.items()
        },
    }


def on_cpu(args: argparse.Namespace) -> dict[str, object]:
    """Measure all sides; return times and ratios."""
    errors = {"float64": in_process("errors", args), "float32": in_process("errors32", args)}
    times = {side: in_process(side, args) for side in SIDES}
    own = times["advrush"]
    ratios = {
        f"{side}: {key}": times[side][key] / own[key]
        for side in SIDES[:2]
        for key in ("step_s", "step_cpu_s", "peak_gib")
    }
    return {"errors": errors, "times": times, "ratios": ratios}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("batch", 16), ("channels", 36), ("layers", 20), ("side", 32), ("repeats", 3)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--gpu", action="store_true")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--precision", default="float32", help=argparse.SUPPRESS)
    parser.add_argument("--compile", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.device = "cuda" if args.gpu else args.device
    if args.measure:
        checks = {"errors": float64_errors, "errors32": float32_errors}
        check = checks.get(args.measure)
        print(json.dumps(check(args) if check else measure(args.measure, args)))
        return
    setting = {name: getattr(args, name) for name in ("batch", "channels", "layers", "side", "repeats")}
    report = {"setting": setting, "hardware": hardware(args.device)} | (on_gpu(args) if args.gpu else on_cpu(args))
    out = Path(__file__).parent / "results" / f"train_step-{'gpu' if args.gpu else 'cpu'}.json"
    out.write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report["ratios"], indent=1))
    print(f"written to {out}")


if __name__ == "__main__":
    main()
