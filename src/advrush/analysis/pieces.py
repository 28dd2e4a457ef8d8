"""The pieces of a long computation, kept in the run's last.pt: an interrupted analysis goes on after the last one."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor

from advrush.run import Run

Piece = dict[str, Tensor]
Remember = Callable[[str, Callable[[], Piece]], Piece]
"""Returns the piece of that name: what was kept of an earlier start, or what the function computes."""

EVERY = 5.0
"""Seconds of work that a kill may lose; pieces are written no more often."""


def forgetful(name: str, compute: Callable[[], Piece]) -> Piece:
    """Compute each piece and keep none."""
    return compute()


@dataclass
class Pieces:
    """The pieces of a run; called as a `Remember`."""

    run: Run
    done: dict[str, Piece] = field(default_factory=dict)
    written: float = field(default_factory=time.monotonic)

    @classmethod
    def of(cls, run: Run) -> Pieces:
        """Return the pieces that an earlier start of the run has kept."""
        state = run.load_state() or {}
        return cls(run, dict(state.get("pieces", {})))

    def __call__(self, name: str, compute: Callable[[], Piece]) -> Piece:
        """Return the piece of that name, kept or computed."""
        if name not in self.done:
            self.done[name] = {key: value.cpu() for key, value in compute().items()}
            if time.monotonic() - self.written >= EVERY:
                self.run.save_state({"epoch": 0, "pieces": self.done})
                self.written = time.monotonic()
        return self.done[name]
