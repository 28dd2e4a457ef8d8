"""Pictures as data URIs: images beside their adversarial versions and the difference, amplified."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import NamedTuple

import numpy as np
from PIL import Image

from advrush.report.records import Array


class Example(NamedTuple):
    """One attacked image: three data URIs and three class names."""

    clean: str
    adversarial: str
    difference: str
    label: str
    predicted: str
    predicted_adversarial: str
    fooled: bool


def png_uri(image: Array) -> str:
    """Return an image (C, H, W) with values in [0, 1], gray or RGB, as a PNG data URI of its own size."""
    pixels = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
    shown = pixels[0] if len(pixels) == 1 else pixels[:3].transpose(1, 2, 0)
    buffer = BytesIO()
    Image.fromarray(np.ascontiguousarray(shown)).save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + b64encode(buffer.getvalue()).decode("ascii")


def amplification(tensors: Mapping[str, Array]) -> float:
    """Return the factor that makes the largest change of any pixel half the range from black to white."""
    largest = float(np.abs(tensors["x_adv"] - tensors["x"]).max())
    return 0.5 / largest if largest > 0 else 1.0


def examples(tensors: Mapping[str, Array], classes: Sequence[str] = ()) -> list[Example]:
    """Return the examples of an evaluation's `examples.safetensors`; no change is middle gray in a difference."""
    factor = amplification(tensors)

    def name(index: int) -> str:
        return classes[index] if index < len(classes) else str(index)

    shown = []
    for i, (x, x_adv) in enumerate(zip(tensors["x"], tensors["x_adv"], strict=True)):
        y, clean, fooled = (int(tensors[key][i]) for key in ("y", "pred", "pred_adv"))
        images, difference = (png_uri(x), png_uri(x_adv)), png_uri(0.5 + factor * (x_adv - x))
        shown.append(Example(*images, difference, name(y), name(clean), name(fooled), fooled != y))
    return shown
