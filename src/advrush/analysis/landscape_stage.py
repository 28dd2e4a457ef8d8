"""`analyze landscape`: the loss on a plane through the images or the weights of a network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from advrush.analysis.config import LandscapeConfig
from advrush.analysis.input_plane import Landscape, input_landscape
from advrush.analysis.intervals import mean_interval
from advrush.analysis.pieces import Pieces
from advrush.analysis.slope import steepest_slope
from advrush.analysis.spectrum import input_spectrum
from advrush.analysis.stage import analyze, pixels, test_images
from advrush.analysis.weight_plane import weight_landscape
from advrush.data import Dataset
from advrush.evaluation import Target
from advrush.evaluation.targets import as_target
from advrush.progress import Display
from advrush.run import Run


def analyze_landscape(
    target: str | Path | nn.Module,
    config: LandscapeConfig | None = None,
    *,
    data_dir: Path | str | None = None,
    runs_dir: Path | str = "runs",
    device: str = "auto",
    display: bool = True,
) -> Run:
    """Measure a network's loss surface on test images; return the finished run.

    `landscape.safetensors` holds `coordinates`, `losses` (images, points, points) and `mean`; `result.json` the
    steepest slope of the averaged surface and the mean lambda_max of the input Hessian, with 95% bootstrap intervals
    over the images. Arguments as in `evaluate`.
    """
    found = as_target(target)
    config = replace(config or LandscapeConfig(), model=found.label, weights=found.digest)
    dataset, data = test_images(config.data, config.images, data_dir)
    config = replace(config, data=data, extent=config.half_side)

    def work(run: Run, screen: Display, place: torch.device) -> None:
        _measure(found, config, dataset, run, screen, place)

    title = f"landscape of {found.label}"
    return analyze(config, runs_dir, device, title, display=display, work=work, targets=[found], dataset=dataset)


def _measure(
    found: Target, config: LandscapeConfig, dataset: Dataset, run: Run, screen: Display, device: torch.device
) -> None:
    model = found.model.to(device)
    x, y = pixels(dataset, device)
    pieces = Pieces.of(run)
    landscape = _surface(model, x, y, config, screen, pieces)
    run.save_tensors(
        "landscape.safetensors",
        {"coordinates": landscape.coordinates, "losses": landscape.losses, "mean": landscape.mean, "y": y},
    )
    slope = steepest_slope(landscape, seed=config.seed)
    spectrum = input_spectrum(model, x, y, seed=config.seed, remember=pieces)
    curvature = mean_interval(spectrum.lambda_max.numpy(), seed=config.seed)
    screen.line(f"steepest slope  {slope['value']:.4g}  [{slope['low']:.4g}, {slope['high']:.4g}]")
    run.finish(_result(config, dataset, landscape) | {"steepest_slope": slope, "lambda_max": curvature})


def _surface(
    model: nn.Module, x: Tensor, y: Tensor, config: LandscapeConfig, screen: Display, pieces: Pieces
) -> Landscape:
    """Return the surface; the bar counts passes of images."""
    total, passed = len(x) * config.points**2, 0
    screen.at(0, total)

    def advance(images: int) -> None:
        nonlocal passed
        passed += images
        screen.at(passed, total)

    shape: dict[str, Any] = {
        "extent": config.half_side, "points": config.points, "batch_size": config.batch_size, "seed": config.seed,
        "on_batch": advance, "remember": pieces,
    }  # fmt: skip
    if config.around == "weights":
        return weight_landscape(model, x, y, **shape)
    return input_landscape(model, x, y, direction=config.direction, **shape)


def _result(config: LandscapeConfig, dataset: Dataset, landscape: Landscape) -> dict[str, Any]:
    mean = landscape.mean
    middle = config.points // 2
    return {
        "what": "landscape",
        "model": config.model,
        "weights": config.weights,
        "dataset": dataset.name,
        "images": len(landscape.losses),
        "around": config.around,
        "direction": config.direction,
        "extent": config.half_side,
        "loss": float(mean[middle, middle]),
        "lowest": float(mean.min()),
        "highest": float(mean.max()),
    }
