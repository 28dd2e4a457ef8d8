"""`analyze curvature`: the input Hessian's spectrum of a network, with L_lambda beside it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from advrush.analysis.config import CurvatureConfig
from advrush.analysis.intervals import mean_interval
from advrush.analysis.pieces import Pieces
from advrush.analysis.spectrum import InputSpectrum, input_spectrum
from advrush.analysis.stage import analyze, pixels, test_images
from advrush.curvature import input_gradient
from advrush.data import Dataset
from advrush.evaluation import Target
from advrush.evaluation.targets import as_target
from advrush.kernels.attack_direction import attack_direction
from advrush.modes import evaluating, frozen
from advrush.progress import Display
from advrush.run import Run

QUANTITIES = ("lambda_max", "frobenius", "trace", "l_lambda", "cosine")


def analyze_curvature(
    target: str | Path | nn.Module,
    config: CurvatureConfig | None = None,
    *,
    data_dir: Path | str | None = None,
    runs_dir: Path | str = "runs",
    device: str = "auto",
    display: bool = True,
) -> Run:
    """Measure the input curvature of a network on test images; return the finished run.

    `curvature.safetensors` holds for each image lambda_max, the bound of its error, ||H||_F, the trace, the
    eigenvalues, L_lambda, the cosine c of Theorem 1 and whether the image is classified correctly; `result.json` holds
    their means with 95% bootstrap intervals over the images. Arguments as in `evaluate`.
    """
    found = as_target(target)
    config = replace(config or CurvatureConfig(), model=found.label, weights=found.digest)
    dataset, data = test_images(config.data, config.images, data_dir)
    config = replace(config, data=data)

    def work(run: Run, screen: Display, place: torch.device) -> None:
        _measure(found, config, dataset, run, screen, place)

    title = f"curvature of {found.label}"
    return analyze(config, runs_dir, device, title, display=display, work=work, targets=[found], dataset=dataset)


def step_curvature(model: nn.Module, x: Tensor, y: Tensor, *, h: float) -> Tensor:
    """Return each image's `||g(x + h z) - g(x)||_2` (N,), whose mean is L_lambda (Eq. 10)."""
    with evaluating(model), frozen(model), torch.enable_grad():
        g = input_gradient(model, x, y, create_graph=False)
        g_h = input_gradient(model, x + h * attack_direction(g), y, create_graph=False)
    lengths: Tensor = (g_h - g).flatten(1).norm(dim=1)
    return lengths


def _measure(
    found: Target, config: CurvatureConfig, dataset: Dataset, run: Run, screen: Display, device: torch.device
) -> None:
    model = found.model.to(device)
    x, y = pixels(dataset, device)
    batches = -(-len(x) // config.batch_size)
    steps = iter(screen.steps(range(batches), total=batches))
    spectrum = input_spectrum(
        model, x, y, method=config.method, tolerance=config.tolerance, steps=config.steps, probes=config.probes,
        batch_size=config.batch_size, seed=config.seed, on_batch=lambda _: next(steps, None), whole=config.whole,
        remember=Pieces.of(run),
    )  # fmt: skip
    parts = [step_curvature(model, x[rows], y[rows], h=config.h) for rows in _batches(len(x), config.batch_size)]
    with evaluating(model), torch.no_grad():
        right = torch.cat([model(x[r]).argmax(1) == y[r] for r in _batches(len(x), config.batch_size)])
    arrays = {
        name: getattr(spectrum, name)
        for name in (
            "lambda_max",
            "lambda_error",
            "frobenius",
            "frobenius_error",
            "trace",
            "trace_error",
            "eigenvalues",
            "cosine",
            "gradient_norm",
        )
    }
    arrays |= {"l_lambda": torch.cat(parts).double().cpu(), "correct": right.cpu(), "y": y.cpu()}
    run.save_tensors("curvature.safetensors", arrays)
    result = _result(config, dataset, spectrum, arrays)
    low, high = result["lambda_max"]["low"], result["lambda_max"]["high"]
    screen.line(f"lambda_max  {result['lambda_max']['mean']:.4g}  [{low:.4g}, {high:.4g}]  ({spectrum.method})")
    run.finish(result)


def _result(
    config: CurvatureConfig, dataset: Dataset, spectrum: InputSpectrum, arrays: dict[str, Tensor]
) -> dict[str, Any]:
    relative = spectrum.lambda_error / spectrum.lambda_max.abs().clamp_min(1e-300)
    return {
        "what": "curvature",
        "model": config.model,
        "weights": config.weights,
        "dataset": dataset.name,
        "images": len(arrays["y"]),
        "method": spectrum.method,
        "relative_error": float(relative.max()),
        "clean_acc": float(arrays["correct"].double().mean()),
        **{name: mean_interval(arrays[name].double().numpy(), seed=config.seed) for name in QUANTITIES},
    }


def _batches(count: int, size: int) -> list[slice]:
    return [slice(begin, begin + size) for begin in range(0, count, size)]
