"""The spectrum of the input Hessian of the cross-entropy, image by image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from advrush.analysis.linearity import piecewise_linear
from advrush.analysis.pieces import Piece, Remember, forgetful
from advrush.analysis.precision import in_double
from advrush.analysis.spectrum_exact import exact_spectrum
from advrush.analysis.spectrum_lanczos import lanczos_spectrum
from advrush.analysis.spectrum_parts import BatchSpectrum
from advrush.attacks.gate import check_images, check_labels
from advrush.config import check
from advrush.errors import ModelContractError
from advrush.models.cell import plain_modules
from advrush.modes import evaluating, frozen
from advrush.seeds import Purpose, derive_seed

Method = Literal["auto", "exact", "lanczos"]

MANY_CLASSES = 40
"""With more classes than these, Lanczos needs fewer passes than one for each class."""


@dataclass(frozen=True, eq=False)
class InputSpectrum(BatchSpectrum):
    """Of N images, on the CPU."""

    method: str
    """exact (one product for each class) or lanczos."""


def input_spectrum(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    method: Method = "auto",
    tolerance: float = 1e-6,
    steps: int = 100,
    probes: int = 16,
    batch_size: int = 50,
    whole: bool = False,
    seed: int = 0,
    on_batch: Callable[[int], object] | None = None,
    remember: Remember = forgetful,
) -> InputSpectrum:
    """Return the spectrum of each image's input Hessian: H = d^2 cross_entropy(f(x), y) / dx^2.

    Where f is piecewise linear (checked at these images by its second derivative), H is exactly
    `J^T (diag p - p p^T) J`, of rank K - 1 at most for K classes, and K vector-Jacobian products give the whole
    spectrum. Elsewhere, and for many classes, Lanczos on Hessian-vector products finds the largest eigenvalues;
    trace and Frobenius norm are then exact on the span of its vectors and estimated by random probes beyond it.
    All is computed in float64, on a copy of the model, in eval mode.

    Args:
        model: any nn.Module from images in [0, 1] to logits (N, K).
        x: images (N, C, H, W).
        y: labels (N,), int64.
        method: auto, exact (for piecewise linear networks alone) or lanczos.
        tolerance: of Lanczos: largest relative error of lambda_max.
        steps: of Lanczos: most Hessian-vector products.
        probes: random vectors for trace and Frobenius norm beyond Lanczos's vectors.
        batch_size: images at once.
        whole: let Lanczos go on to `steps` when lambda_max is accurate; with as many steps as an image has pixels
            times channels, it finds all eigenvalues.
        seed: of Lanczos's first vectors and of the probes.
        on_batch: called with the number of images done after each batch.
        remember: keeps the spectra of each batch, so that an interrupted call goes on (see `analysis.pieces`).

    Raises ConfigError where `method` is exact and the network is not piecewise linear, DataError for images outside
    [0, 1], ModelContractError for a model that has no derivatives.
    """
    check_images(x)
    y = check_labels(y, len(x))
    check(len(x) >= 1, "x", tuple(x.shape), "at least one image")
    check(steps >= 2, "steps", steps, "a whole number >= 2")
    check(0 < tolerance < 1, "tolerance", tolerance, "a number between 0 and 1, such as 1e-6")
    check(probes >= 1, "probes", probes, "a whole number >= 1")
    x = x.double()
    with plain_modules(), evaluating(model):
        exact = in_double(model, x[:1])
    with plain_modules(), evaluating(exact), frozen(exact):
        chosen = choose_method(exact, x, method)
        parts = []
        for begin in range(0, len(x), batch_size):
            rows = slice(begin, begin + batch_size)
            if chosen == "exact":
                compute: Callable[[], BatchSpectrum] = partial(exact_spectrum, exact, x[rows], y[rows])
            else:
                generator = torch.Generator().manual_seed(derive_seed(Purpose.PROBE_BATCH, seed, begin))
                compute = partial(
                    lanczos_spectrum, exact, x[rows], y[rows], tolerance=tolerance, steps=steps, probes=probes,
                    whole=whole, generator=generator,
                )  # fmt: skip
            parts.append(BatchSpectrum(**remember(f"spectrum {begin}", partial(_fields, compute))))
            if on_batch:
                on_batch(min(begin + batch_size, len(x)))
    return _joined(parts, chosen)


def _fields(compute: Callable[[], BatchSpectrum]) -> Piece:
    return dict(vars(compute()))


def choose_method(model: nn.Module, x: Tensor, method: Method) -> Literal["exact", "lanczos"]:
    """Return the method that fits; ConfigError where `exact` is asked of a network that is curved between kinks."""
    if method == "lanczos":
        return "lanczos"
    linear = all(piecewise_linear(model, part) for part in x.split(50))  # type: ignore[no-untyped-call]
    if method == "exact":
        check(linear, "method", method, "lanczos: this network is not piecewise linear")
        return "exact"
    with torch.no_grad():
        classes = int(model(x[:1]).shape[1])
    return "exact" if linear and classes <= MANY_CLASSES else "lanczos"


def _joined(parts: Sequence[BatchSpectrum], method: str) -> InputSpectrum:
    width = max(part.eigenvalues.shape[1] for part in parts)
    padded = [nn.functional.pad(part.eigenvalues, (0, width - part.eigenvalues.shape[1])) for part in parts]
    rest = {
        field.name: torch.cat([getattr(part, field.name) for part in parts]).cpu()
        for field in fields(BatchSpectrum)
        if field.name != "eigenvalues"
    }
    if not torch.isfinite(rest["lambda_max"]).all():
        bad = int((~torch.isfinite(rest["lambda_max"])).sum())
        raise ModelContractError(
            f"the loss has no finite second derivative at {bad} of {len(rest['lambda_max'])} images"
        )
    return InputSpectrum(torch.cat(padded).sort(dim=1, descending=True).values.cpu(), method=method, **rest)
