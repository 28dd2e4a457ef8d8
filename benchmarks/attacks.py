"""Time this project's attacks beside others', on one network, the same examples and threads; outcomes must be equal.

    python benchmarks/attacks.py --data DIR --examples 128 --threads 1

Without `--target` a small residual network is trained against FGSM first (some minutes), to a robust accuracy of about
40% at eps 4/255. AutoAttack is compared with `pyautoattack`, PGD-20 with `torchattacks` and `foolbox` where these are
installed and with the plain loop that most code has.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from advrush.attacks import PGD, AutoAttack, FastModel
from advrush.data import Dataset, epoch_batches, load_dataset
from advrush.evaluation import find_target
from hardware import hardware


class Block(nn.Module):
    """Two convolutions and a projected shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + self.shortcut(x))


def residual(classes: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 24, 3, 2, 1, bias=False),
        nn.BatchNorm2d(24),
        nn.ReLU(),
        Block(24, 32, 1),
        Block(32, 64, 2),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(256, classes),
    )


def train(data: Dataset, steps: int, eps: float) -> nn.Module:
    """Return a network trained on one-step adversarial examples from random starts (Wong et al. 2020)."""
    torch.manual_seed(0)
    model, attack = residual(data.num_classes), PGD(eps=eps, steps=1, step_size=1.25 * eps)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.15, total_steps=steps)
    generator, done, epoch = torch.Generator().manual_seed(0), 0, 0
    while done < steps:
        for x, y in epoch_batches(data.train, batch_size=128, seed=0, epoch=epoch, augment=None):
            x_adv = attack.perturb(model, x, y, generator=generator)
            optimizer.zero_grad()
            cross_entropy(model(x_adv), y).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            done += 1
            if done == steps:
                break
        epoch += 1
    return model.eval()


def plain_pgd(model: nn.Module, x: Tensor, y: Tensor, attack: PGD) -> Tensor:
    """Return what the loop found in most papers' code gives: `backward()` fills the parameters' gradients too."""
    start = 2 * torch.rand(x.shape, generator=torch.Generator().manual_seed(attack.seed)) - 1
    x_adv = (x + attack.eps * start).clamp(0, 1)
    for _ in range(attack.steps):
        x_adv = x_adv.detach().requires_grad_(True)
        model.zero_grad()
        cross_entropy(model(x_adv), y).backward()  # type: ignore[no-untyped-call]
        assert x_adv.grad is not None
        x_adv = x_adv.detach() + attack.step_size * x_adv.grad.sign()
        x_adv = torch.min(torch.max(x_adv, x - attack.eps), x + attack.eps).clamp(0, 1)
    return x_adv.detach()


def torchattacks_pgd(model: nn.Module, x: Tensor, y: Tensor, attack: PGD) -> Tensor:
    import torchattacks

    other = torchattacks.PGD(model, eps=attack.eps, alpha=attack.step_size, steps=attack.steps, random_start=True)
    return other(x, y)  # type: ignore[no-any-return]


def foolbox_pgd(model: nn.Module, x: Tensor, y: Tensor, attack: PGD) -> Tensor:
    import foolbox

    other = foolbox.attacks.LinfPGD(abs_stepsize=attack.step_size, steps=attack.steps)
    _, x_adv, _ = other(foolbox.PyTorchModel(model, bounds=(0, 1), device=x.device), x, y, epsilons=attack.eps)
    return x_adv  # type: ignore[no-any-return]


def timed(action: Callable[[], Tensor]) -> tuple[float, Tensor]:
    wait = torch.cuda.synchronize if torch.cuda.is_available() else lambda: None
    wait()
    started = time.perf_counter()
    result = action()
    wait()
    return time.perf_counter() - started, result


def correct(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    with torch.no_grad():
        return model(x).argmax(dim=1) == y


def as_evaluated(model: nn.Module) -> nn.Module:
    """Return the model as `advrush evaluate` attacks it."""
    return FastModel(model, channels_last=True, fold=True)


def compare_pgd(model: nn.Module, x: Tensor, y: Tensor, eps: float, repeats: int) -> list[dict[str, object]]:
    """Return the best of `repeats` for each implementation, taken in turns; the plain loop's outcome is ours."""
    attack = PGD(eps=eps, steps=20, step_size=eps / 3.1)
    others = {"plain loop": plain_pgd}
    others |= {"torchattacks": torchattacks_pgd} if importlib.util.find_spec("torchattacks") else {}
    others |= {"foolbox": foolbox_pgd} if importlib.util.find_spec("foolbox") else {}
    rows: list[dict[str, object]] = []
    ours_on = as_evaluated(model)
    for name, other in others.items():
        ours, theirs = [], []
        for _ in range(repeats):
            seconds, mine = timed(lambda: attack(ours_on, x, y))
            ours.append(seconds)
            seconds, his = timed(lambda other=other: other(model, x, y, attack))  # type: ignore[misc]
            theirs.append(seconds)
        differing = int((correct(model, mine, y) != correct(model, his, y)).sum())
        assert name != "plain loop" or not differing, f"{differing} outcomes differ"
        rows.append({"against": name, "ours_s": min(ours), "theirs_s": min(theirs), "ratio": min(theirs) / min(ours)})
    return rows


def native_bfloat16() -> bool:
    """Tell whether the CPU multiplies in bfloat16 itself: elsewhere it is emulated, and slower than float32."""
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def compare_autoattack(model: nn.Module, x: Tensor, y: Tensor, eps: float, batch_size: int) -> dict[str, object]:
    """Return the times of the standard cascade on both sides; every example's outcome is the same.

    Ours runs as `advrush evaluate` does it; drawing random numbers in the published order, in the layout that the model
    was given in, where each step is the published one's to the last bit; and, where the hardware has bfloat16, as
    `advrush evaluate --precision bfloat16` does it, where differing outcomes are counted and not forbidden.
    """
    import pyautoattack

    reference = pyautoattack.AutoAttack(model, eps=eps, seed=0, device=str(x.device))
    theirs, predicted = timed(lambda: reference.run_standard_evaluation(x, y, batch_size=batch_size)[1])
    report: dict[str, object] = {"theirs_s": theirs, "robust": int((predicted == y).sum())}
    ways = [("example", as_evaluated(model), "as advrush evaluate"), ("batch", model, "published order")]
    if x.is_cuda or native_bfloat16():
        low = FastModel(model, dtype=torch.bfloat16, channels_last=True, fold=True)
        ways.append(("example", low, "searched in bfloat16, verified in float32"))
    for order, searched, way in ways:
        attack = AutoAttack(eps=eps, batch_size=batch_size, order=order)  # type: ignore[arg-type]
        started = time.perf_counter()
        outcome = attack.run(searched, x, y)
        ours = time.perf_counter() - started
        differing = int((outcome.flags != (predicted == y).cpu()).sum())
        exact = not isinstance(searched, FastModel) or searched.dtype == torch.float32
        assert differing == 0 or not exact, f"{differing} outcomes differ: {way}"
        report[way] = {
            "ours_s": ours, "ratio": theirs / ours, "differing": differing, "waterfall": outcome.waterfall()
        }  # fmt: skip
        print(f"{way}: {theirs / ours:.2f} times as fast, {differing} outcomes differ", flush=True)
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of CIFAR-10")
    parser.add_argument("--target", help="RUN, weights file or python:module:factory; none: train a small network")
    parser.add_argument("--train-steps", type=int, default=700)
    parser.add_argument("--examples", type=int, default=128)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--eps", type=float, default=4 / 255)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", choices=["pgd", "autoattack"])
    parser.add_argument("--out", type=Path, help="where the JSON goes (default: benchmarks/results)")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    data = load_dataset("cifar10", data_dir=options.data)
    model = find_target(options.target).model if options.target else train(data, options.train_steps, 5 / 255)
    model = model.to(options.device)
    x = (data.test.images[: options.examples].float() / 255).to(options.device)
    y = data.test.labels[: options.examples].to(options.device)
    report: dict[str, object] = {
        "network": options.target or f"residual network of this file, {options.train_steps} steps",
        "eps": options.eps,
        "examples": len(x),
        "hardware": hardware(options.device),
    }
    if options.only != "autoattack":
        report["pgd20"] = compare_pgd(model, x, y, options.eps, options.repeats)
    if options.only != "pgd":
        report["autoattack"] = compare_autoattack(model, x, y, options.eps, options.batch_size)
    print(json.dumps(report, indent=1))
    out = options.out or Path(__file__).parent / "results" / f"attacks-{'gpu' if x.is_cuda else 'cpu'}.json"
    out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
