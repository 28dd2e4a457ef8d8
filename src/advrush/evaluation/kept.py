"""What an interrupted evaluation kept, checked before an evaluation goes on from it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from advrush.errors import RunError


def kept_progress(state: Mapping[str, Any] | None, examples: int, path: Path) -> dict[str, Tensor]:
    """Return the flags so far by attack (see `robust_accuracy.Progress`), empty where there is no state.

    Raises RunError, naming `path`, for a state of something else: no tensors by name, or flags of another number of
    examples.
    """
    if state is None:
        return {}
    progress = state.get("progress")
    sound = isinstance(progress, dict) and all(
        isinstance(name, str) and isinstance(value, Tensor) and _sound(name, value, examples)
        for name, value in progress.items()
    )
    if not sound or not isinstance(progress, dict):
        raise RunError(f"{path}: not the progress of this evaluation; delete it to begin anew")
    return progress


def _sound(name: str, value: Tensor, examples: int) -> bool:
    if name.endswith("/spent") and "/" not in name.removesuffix("/spent"):
        return value.dtype == torch.float64 and value.shape == (3,)
    if "/" in name and not name.startswith("sweep/"):  # the record of an ensemble, which checks it itself
        return True
    return value.dtype == torch.int8 and value.shape == (examples,) and bool(((value >= -1) & (value <= 1)).all())
