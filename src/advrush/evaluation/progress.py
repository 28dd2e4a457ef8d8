"""The state of an evaluation, to save and to resume from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from advrush.attacks import Ledger
from advrush.errors import RunError


@dataclass(frozen=True)
class Progress:
    """What is known after some batches; each batch gives a new value and leaves the old one as it was."""

    clean: Tensor | None = None
    """(N,) bool: right without an attack; None where that is not known yet."""
    attacks: Mapping[str, Ledger] = field(default_factory=dict)
    """This process's record of each attack that has begun, by its name in the evaluation."""
    sweeps: Mapping[str, Tensor] = field(default_factory=dict)
    """(N,) int8 by name of the point of a curve: 1 still right, 0 wrong, -1 not yet attacked."""

    def with_attack(self, name: str, ledger: Ledger) -> Progress:
        """Return the progress with an attack's record as it is now."""
        return replace(self, attacks={**self.attacks, name: ledger.copy()})

    def with_sweep(self, flags: Mapping[str, Tensor]) -> Progress:
        """Return the progress with the flags of a curve's points as they are now."""
        return replace(self, sweeps={**self.sweeps, **{name: value.clone() for name, value in flags.items()}})

    def state_dict(self) -> dict[str, Any]:
        """Return plain dictionaries of tensors, which `torch.load(weights_only=True)` reads back."""
        clean = {} if self.clean is None else {"clean": self.clean}
        attacks = {name: ledger.state_dict() for name, ledger in self.attacks.items()}
        return {**clean, "attacks": attacks, "sweeps": dict(self.sweeps)}

    @classmethod
    def load(cls, state: object, examples: int, where: Path | str) -> Progress:
        """Return what `state_dict` gave.

        Raises RunError, naming `where`, for anything else and for flags of another number of examples.
        """
        refusal = RunError(f"{where}: not the progress of this evaluation; delete it to begin anew")
        if not isinstance(state, Mapping) or not {"attacks", "sweeps"} <= set(state) <= {"attacks", "sweeps", "clean"}:
            raise refusal
        clean, attacks, sweeps = state.get("clean"), state["attacks"], state["sweeps"]
        if not isinstance(attacks, Mapping) or not isinstance(sweeps, Mapping):
            raise refusal
        flags = [] if clean is None else [(clean, torch.bool)]
        for value, dtype in (*flags, *((each, torch.int8) for each in sweeps.values())):
            if not isinstance(value, Tensor) or value.dtype != dtype or value.shape != (examples,):
                raise refusal
        try:
            records = {str(name): Ledger.load(record, examples) for name, record in attacks.items()}
        except RunError as error:
            raise RunError(f"{refusal} ({error})") from None
        return cls(clean, records, dict(sweeps))
