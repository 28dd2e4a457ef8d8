"""Select the logits from the outputs of a network that returns several."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

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
            raise ModelError(f"output: got no entry {self.entry!r} with a tensor; expected one of {_entries(output)}")
        return found


def _entry(output: Any, entry: str | int) -> Any:
    text = str(entry)
    if isinstance(output, Mapping) and text in output:
        return output[text]
    if isinstance(output, tuple | list) and text.lstrip("-").isdigit() and -len(output) <= int(text) < len(output):
        return output[int(text)]
    return getattr(output, text, None) if text.isidentifier() else None


def _entries(output: Any) -> str:
    """Return the names of the tensors in what a network returned."""
    if isinstance(output, Mapping):
        names = [str(key) for key, value in output.items() if isinstance(value, Tensor)]
    elif isinstance(output, tuple | list):
        names = [str(place) for place, value in enumerate(output) if isinstance(value, Tensor)]
    else:
        names = (
            [name for name, value in vars(output).items() if isinstance(value, Tensor)]
            if hasattr(output, "__dict__")
            else []
        )
    return ", ".join(names) or f"none: it returned a {type(output).__name__}"
