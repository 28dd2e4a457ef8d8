"""Read state dicts from checkpoints in the layout of the published DARTS and AdvRush code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor, nn

from advrush.models.errors import ModelError
from advrush.reading.gate import reading
from advrush.reading.tensors import read_pickled

ENTRIES = ("state_dict", "model_state_dict", "model_state", "model", "net", "network")
"""Where a checkpoint may keep its weights, besides its top level."""
WRAPPERS = ("module.", "_orig_mod.")
"""Prefixes that DataParallel and torch.compile put before a name."""
FIRST = ("stem.0.weight", "conv1.weight")
LAST = ("classifier.weight", "linear.weight")
"""First and last layer of the networks that are imported; their names tell what stands before them."""
AUXILIARY = "auxiliary_head."
COUNTER = ".num_batches_tracked"
LISTED = 12


def read_state(path: Path) -> dict[str, Tensor]:
    """Read the weights of a .pth.tar, .pth, .pt or .safetensors file, prefixes of wrappers removed.

    Nothing but tensors and plain values is unpickled (`weights_only=True`). Raises ModelError for a file that
    is absent, damaged, holds other objects, or holds no weights.
    """
    if path.suffix == ".safetensors":
        with reading(path, "a checkpoint", ModelError):
            content: Any = load_file(path)
    else:
        content = read_pickled(path, ModelError)
    return without_prefix({_bare(name): tensor for name, tensor in _weights(path, content).items()})


def without_prefix(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights under known names where one prefix (`model.`, `net.`, `1.`, ...) stands before them.

    Names without the prefix stay as they are: they belong to something outside the network, such as a normalization,
    and are reported as unknown when the weights are loaded.
    """
    prefixes = {name[: -len(first)] for first in FIRST for name in state if name.endswith(f".{first}")}
    fitting = [p for p in prefixes if any(f"{p}{last}" in state for last in LAST)]
    if any(name in state for name in FIRST) or len(fitting) != 1:
        return dict(state)
    (prefix,) = fitting
    return {name.removeprefix(prefix): tensor for name, tensor in state.items()}


def load_weights(model: nn.Module, state: Mapping[str, Tensor]) -> tuple[str, ...]:
    """Copy `state` into `model` by name; return the names left out: an auxiliary head that the model lacks.

    Counters of batches that old files lack stay as they are. Raises ModelError that lists every missing or
    unknown name and every differing shape; the model is then unchanged.
    """
    own = model.state_dict()
    dropped = () if any(AUXILIARY in name for name in own) else _starting(state, AUXILIARY)
    given = {name: tensor for name, tensor in state.items() if name not in dropped}
    missing = [name for name in own if name not in given and not name.endswith(COUNTER)]
    unknown = [name for name in given if name not in own]
    shapes = [
        f"{name} {tuple(tensor.shape)}, expected {tuple(own[name].shape)}"
        for name, tensor in given.items()
        if name in own and tensor.shape != own[name].shape
    ]
    problems = [("missing", missing), ("unknown", unknown), ("of another shape", shapes), *_odd_values(own, given)]
    if any(names for _, names in problems):
        lines = [f"{len(names)} {kind}: {listed(names)}" for kind, names in problems if names]
        raise ModelError("weights do not fit the network\n  " + "\n  ".join(lines))
    model.load_state_dict(given, strict=False)
    return dropped


def _odd_values(own: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> list[tuple[str, list[str]]]:
    """Return the names of weights that are no real numbers, and of those that are not finite."""
    held = {name: tensor for name, tensor in given.items() if name in own and own[name].is_floating_point()}
    types = [f"{name} {tensor.dtype}" for name, tensor in held.items() if not tensor.is_floating_point()]
    wild = [name for name, tensor in held.items() if tensor.is_floating_point() and not tensor.isfinite().all()]
    return [("of another type", types), ("not finite", wild)]


def _weights(path: Path, content: Any) -> dict[str, Tensor]:
    candidates = [content.get(entry) for entry in ENTRIES] if isinstance(content, Mapping) else []
    for candidate in [*candidates, content]:
        if isinstance(candidate, Mapping) and candidate and _is_state(candidate):
            return dict(candidate)
    found = [str(key) for key in content] if isinstance(content, Mapping) else [type(content).__name__]
    raise ModelError(f"{path}: holds no weights by name (found: {listed(found) or 'nothing'})")


def _is_state(candidate: Mapping[Any, Any]) -> bool:
    return all(isinstance(k, str) and isinstance(v, Tensor) for k, v in candidate.items())


def _bare(name: str) -> str:
    while name.startswith(WRAPPERS):
        name = name.split(".", 1)[1]
    return name


def _starting(state: Mapping[str, Tensor], prefix: str) -> tuple[str, ...]:
    return tuple(name for name in state if name.startswith(prefix))


def listed(names: list[str]) -> str:
    """Return the first names for a message, and how many more there are."""
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more
