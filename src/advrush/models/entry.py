"""Select the logits from the outputs of a network that returns several."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from advrush.errors import kind_of
from advrush.models.errors import ModelError


class Entry(nn.Module):
    """Pass images to `model` and return one entry of what it returns.

    `entry` is a key of a dictionary, an attribute of an object such as a ModelOutput, or the place in a tuple or list.
    Raises ModelError, naming what there is, where the output has no such entry.
    """

    def __init__(self, model: nn.Module, entry: str | int) -> None:
        super().__init__()
        self.model, self.entry = model, entry

    def forward(self, x: Tensor) -> Tensor:
        """Return the entry."""
        output = self.model(x)
        found = _entry(output, self.entry)
        if not isinstance(found, Tensor):
            there = ", ".join(entries(output)) or f"none: it returned {kind_of(output)}"
            raise ModelError(f"output: got no entry {self.entry!r} with a tensor; expected one of {there}")
        return found


def _entry(output: Any, entry: str | int) -> Any:
    text = str(entry)
    if isinstance(output, Mapping) and text in output:
        return output[text]
    if isinstance(output, tuple | list) and text.lstrip("-").isdigit() and -len(output) <= int(text) < len(output):
        return output[int(text)]
    return getattr(output, text, None) if text.isidentifier() else None


def entries(output: Any) -> list[str]:
    """Return the names (of a tuple: the places) of the tensors in what a network returned."""
    if isinstance(output, Mapping):
        named = {str(key): value for key, value in output.items()}
    elif isinstance(output, tuple | list):
        named = {str(place): value for place, value in enumerate(output)}
    else:
        named = dict(getattr(output, "__dict__", {}))
    return [name for name, value in named.items() if isinstance(value, Tensor)]
