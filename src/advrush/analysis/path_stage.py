"""`analyze path`: Theorem 1 on the curve from a standard-trained to an adversarially trained network."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from advrush.analysis.bezier import BendState, BezierPath, train_bend
from advrush.analysis.config import PathConfig
from advrush.analysis.intervals import correlation, mean_interval
from advrush.analysis.largest_loss import largest_loss
from advrush.analysis.spectrum import input_spectrum
from advrush.analysis.stage import analyze, pixels, test_images
from advrush.data import Dataset
from advrush.data.batches import epoch_batches
from advrush.evaluation import Target
from advrush.evaluation.targets import as_target
from advrush.progress import Display
from advrush.run import Run

QUANTITIES = ("loss", "lambda_max", "adversarial_loss", "cosine")


def analyze_path(
    standard: str | Path | nn.Module,
    adversarial: str | Path | nn.Module,
    config: PathConfig | None = None,
    *,
    data_dir: Path | str | None = None,
    runs_dir: Path | str = "runs",
    device: str = "auto",
    display: bool = True,
) -> Run:
    """Measure curvature and adversarial loss along a Bezier curve between two networks; return the finished run.

    The bend is trained to keep the standard loss low; at each point batch-norm statistics are measured anew on
    training images, and on test images the standard loss, lambda_max of the input Hessian, the largest loss that PGD
    finds in the eps-ball, and c of Theorem 1. `result.json` holds their means with 95% bootstrap intervals, and
    Pearson's and Spearman's correlation of lambda_max with the adversarial loss along the path; `path.safetensors` the
    values of each image, (images, points), `bend.safetensors` the bend. Other arguments as in `evaluate`. An
    interrupted run goes on after its last whole epoch of the bend's training, or its last whole point.

    Raises ConfigError for two networks whose parameters differ in name or shape.
    """
    ends = [as_target(target) for target in (standard, adversarial)]
    config = config or PathConfig()
    dataset, data = test_images(config.data, config.images, data_dir)
    config = replace(config, data=data, models=tuple(f"{one.label}:{one.digest}" for one in ends))
    path = BezierPath(ends[0].model, ends[1].model)

    def work(run: Run, screen: Display, place: torch.device) -> None:
        _measure(path, ends, config, dataset, run, screen, place)

    title = f"path {ends[0].label} to {ends[1].label}"
    return analyze(
        config, runs_dir, device, title, display=display, epochs=config.epochs + 1, work=work, targets=ends,
        dataset=dataset,
    )  # fmt: skip


def _measure(
    path: BezierPath, ends: list[Target], config: PathConfig, dataset: Dataset, run: Run, screen: Display,
    device: torch.device,
) -> None:  # fmt: skip
    path.to(device)
    train = dataset.train.to(device)
    size = min(config.batch_size, len(train))
    state: dict[str, Any] = run.load_state() or {"epoch": 0, "bend": None, "points": []}

    def keep(bend: BendState) -> None:
        state.update(epoch=len(bend["losses"]), bend=bend)
        run.save_state(state)

    losses = train_bend(
        path, train, epochs=config.epochs, batch_size=size, lr=config.lr, weight_decay=config.weight_decay,
        seed=config.seed, state=state["bend"], on_epoch=keep,
        each_epoch=lambda epoch, batches: screen.steps(batches, total=len(train) // size, epoch=epoch),
    )  # fmt: skip
    if losses:
        screen.line(f"bend        loss along the path {losses[0]:.4f} in the first epoch, {losses[-1]:.4f} in the last")
    run.save_tensors("bend.safetensors", path.bend)
    x, y = pixels(dataset, device)
    places = np.linspace(0.0, 1.0, config.points)
    found: dict[str, list[Tensor]] = {name: [] for name in (*QUANTITIES, "correct", "robust")}
    batches = max(1, min(config.statistics_images, len(train)) // size)
    for i, t in enumerate(screen.steps(places.tolist(), total=config.points, epoch=config.epochs)):
        if i == len(state["points"]):
            images = (x for x, _ in islice(epoch_batches(train, batch_size=size, seed=config.seed, epoch=0), batches))
            point = _point(path.at(t, images), x, y, config)
            state["points"].append({name: value.cpu() for name, value in point.items()})
            run.save_state(state)
        for name, value in state["points"][i].items():
            found[name].append(value)
        means = {name: float(found[name][-1].double().mean()) for name in QUANTITIES}
        screen.line(f"t = {t:.2f}    " + "  ".join(f"{name} {value:.4g}" for name, value in means.items()))
    arrays = {name: torch.stack(values, dim=1) for name, values in found.items()}
    run.save_tensors("path.safetensors", {**arrays, "t": torch.from_numpy(places), "y": y})
    run.finish(_result(ends, config, dataset, arrays, places.tolist(), losses))


def _point(model: nn.Module, x: Tensor, y: Tensor, config: PathConfig) -> dict[str, Tensor]:
    """Return the values of each image (N,) at one point of the path."""
    spectrum = input_spectrum(model, x, y, batch_size=config.batch_size, seed=config.seed)
    attacked = largest_loss(
        model, x, y, eps=config.eps, steps=config.attack_steps, restarts=config.restarts, seed=config.seed,
        batch_size=config.batch_size,
    )  # fmt: skip
    return {
        "loss": attacked.clean.double(), "adversarial_loss": attacked.largest.double(),
        "correct": attacked.correct, "robust": attacked.robust,
        "lambda_max": spectrum.lambda_max, "cosine": spectrum.cosine,
    }  # fmt: skip


def _result(
    ends: list[Target], config: PathConfig, dataset: Dataset, arrays: dict[str, Tensor], places: list[float],
    losses: list[float],
) -> dict[str, Any]:  # fmt: skip
    points = [
        {
            "t": t,
            **{name: mean_interval(arrays[name][:, i].numpy(), seed=config.seed) for name in QUANTITIES},
            "clean_acc": float(arrays["correct"][:, i].double().mean()),
            "robust_acc": float(arrays["robust"][:, i].double().mean()),
        }
        for i, t in enumerate(places)
    ]
    curvature, attacked, plain = (arrays[name].numpy() for name in ("lambda_max", "adversarial_loss", "loss"))
    return {
        "what": "path",
        "models": [one.label for one in ends],
        "dataset": dataset.name,
        "images": len(curvature),
        "threat_model": {"norm": "Linf", "eps": config.eps},
        "bend_losses": losses,
        "points": points,
        "correlation": correlation(curvature, attacked, seed=config.seed),
        "correlation_of_rise": correlation(curvature, attacked - plain, seed=config.seed),
    }
