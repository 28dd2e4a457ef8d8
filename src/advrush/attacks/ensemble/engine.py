"""The one loop that runs attacks: batch by batch, counted, verified, resumable, shared among processes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Protocol

import torch
from torch import Tensor, nn

from advrush.attacks.ensemble.record import FOREIGN, Ledger
from advrush.attacks.ensemble.result import Outcome
from advrush.attacks.ensemble.stamp import check_stamp, stamp
from advrush.attacks.passes.chunks import device_of
from advrush.attacks.passes.counting import counting
from advrush.attacks.passes.kept_memory import keeping_freed_memory
from advrush.attacks.passes.memory import limited, within_memory
from advrush.modes import weights_unchanged
from advrush.parallel import ALONE, Parallel

OnBatch = Callable[[Ledger], None]


class Plan(Protocol):
    """How an attack, or an ensemble of several, goes through the examples."""

    @property
    def name(self) -> str:
        """Name of the attack or ensemble."""
        ...

    @property
    def members(self) -> tuple[str, ...]:
        """Names of the attacks, in the order in which they run."""
        ...

    @property
    def single(self) -> bool:
        """Whether it is one attack by itself, not an ensemble."""
        ...

    @property
    def target(self) -> str | None:
        """What a targeted attack aims at, None of an untargeted one."""
        ...

    @property
    def measures_norms(self) -> bool:
        """Whether `attack` notes the smallest norms in the record."""
        ...

    @property
    def batch_size(self) -> int:
        """Examples attacked together."""
        ...

    def within(self, model: nn.Module, device: torch.device) -> AbstractContextManager[None]:
        """Return the context in which the whole attack runs: modes, flags, global random numbers."""
        ...

    def suspicions(self, model: nn.Module, x: Tensor, y: Tensor) -> tuple[str, ...]:
        """Return what speaks against the result, seen before the attack."""
        ...

    def begin(self, model: nn.Module, x: Tensor, y: Tensor, *, clean: Tensor | None, processes: Parallel) -> Tensor:
        """Return (N,) int16: WRONG, UNBROKEN, or FOREIGN for the examples of other processes.

        `clean` (N,) says which examples are right without an attack, where the caller knows.
        """
        ...

    def rounds(self, model: nn.Module, x: Tensor) -> tuple[int, ...]:
        """Return the number of rounds of each member."""
        ...

    def attack(
        self, model: nn.Module, x: Tensor, y: Tensor, *, member: int, number: int, rows: Tensor, ledger: Ledger
    ) -> tuple[Tensor, Tensor]:
        """Attack the batch x (n, C, H, W) of these rows in round `number`.

        Returns points (n, C, H, W) and True (n,) where the exact model is wrong about them.
        """
        ...


def run_plan(
    plan: Plan,
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    clean: Tensor | None = None,
    suspicions: tuple[str, ...] | None = None,
    ledger: Ledger | None = None,
    on_batch: OnBatch | None = None,
    keep_examples: bool = False,
    processes: Parallel = ALONE,
) -> Outcome:
    """Run an attack on examples; return what broke which example, on every process that of all.

    Args:
        plan: the attack's way through the examples.
        model: maps [0, 1] pixels (N, C, H, W) to logits (N, K).
        x: all examples, on every process; they travel to the model's device batch by batch.
        y: labels (N,).
        clean: which examples are right without an attack (N,), where the caller knows.
        suspicions: what speaks against the result, where the caller knows; else the plan looks.
        ledger: this process's record of an interrupted run, completed in place.
        on_batch: called with the record after each batch; what it saves there resumes exactly.
        keep_examples: whether the outcome holds the adversarial examples (one process alone).
        processes: the processes among which the examples are shared.
    """
    with limited() as memory:
        if suspicions is None:
            suspicions = within_memory(lambda: plan.suspicions(model, x, y), min(plan.batch_size, len(x)))
        ledger = execute(
            plan,
            model,
            x,
            y,
            clean=clean,
            ledger=ledger,
            on_batch=on_batch,
            keep_examples=keep_examples,
            processes=processes,
        )
        said = (*suspicions, *memory.take())
    return Outcome(plan.name, plan.members, _joined(ledger, processes), said, single=plan.single, target=plan.target)


def run_from_state(
    plan: Plan,
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    state: Mapping[str, Tensor] | None,
    on_batch: Callable[[dict[str, Tensor]], None] | None,
    keep_examples: bool,
    processes: Parallel,
) -> Outcome:
    """Do what `run_plan` does for a caller who keeps the record as a dictionary of tensors.

    Raises RunError where `state` is not of these examples, this network and this plan.
    """
    of = {} if state is None and on_batch is None else stamp(plan, model, x, y)
    ledger = None
    if state is not None:
        known = isinstance(state, Mapping)
        record = {name: value for name, value in state.items() if name not in of} if known else state
        ledger = Ledger.load(record, len(x), len(plan.members))
        check_stamp(state, of)
    save = None if on_batch is None else lambda ledger: on_batch(ledger.state_dict() | of)
    return run_plan(plan, model, x, y, ledger=ledger, on_batch=save, keep_examples=keep_examples, processes=processes)


def execute(
    plan: Plan,
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    clean: Tensor | None = None,
    ledger: Ledger | None = None,
    on_batch: OnBatch | None = None,
    keep_examples: bool = False,
    processes: Parallel = ALONE,
) -> Ledger:
    """Return this process's record; arguments as in `run_plan`.

    Rounds run one after another over all examples that are still correct, so that batches stay full to the end.
    """
    device = device_of(model, x.device)
    with plan.within(model, device), weights_unchanged(), keeping_freed_memory(device):
        if ledger is not None:
            ledger.check(len(x), len(plan.members))
        else:
            start = plan.begin(model, x, y, clean=clean, processes=processes)
            kept = x if keep_examples else None
            ledger = Ledger.begin(start, len(plan.members), kept, norms=plan.measures_norms)
        rounds = plan.rounds(model, x)
        while int(ledger.position[0]) < len(rounds):
            member, number, done = (int(value) for value in ledger.position)
            rows = ledger.alive(member, number)
            if number >= rounds[member] or not len(rows):
                ledger.position[:] = torch.tensor([member + 1, 0, 0])
            elif done >= len(rows):
                ledger.position[:] = torch.tensor([member, number + 1, 0])
            else:
                _batch(plan, model, x, y, member, number, rows[done : done + plan.batch_size], ledger, device)
                ledger.position[2] = min(done + plan.batch_size, len(rows))
                if on_batch is not None:
                    on_batch(ledger)
    return ledger


def _batch(
    plan: Plan,
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    member: int,
    number: int,
    rows: Tensor,
    ledger: Ledger,
    device: torch.device,
) -> None:
    """Attack these rows; record what broke and what it cost."""
    started = time.monotonic()
    images, labels = (tensor[rows.to(tensor.device)].to(device) for tensor in (x, y))
    with counting(model) as passes:
        points, broken = within_memory(
            lambda: plan.attack(model, images, labels, member=member, number=number, rows=rows, ledger=ledger),
            len(rows),
        )
    ledger.record(member, number, rows[broken.cpu()], points[broken])
    spent = [time.monotonic() - started, passes.forwards, passes.backwards]
    ledger.passes[member] += torch.tensor(spent, dtype=torch.float64)


def _joined(ledger: Ledger, processes: Parallel) -> Ledger:
    """Return the record of all processes together: every example is one process's own."""
    if processes.world == 1 or processes.apart:
        return ledger
    broken_by, broken_in = (
        processes.maximum(part.int()).to(torch.int16) for part in (ledger.broken_by, ledger.broken_in)
    )
    spent = ledger.passes.clone()
    spent[:, 1:] = processes.sum(spent[:, 1:])
    spent[:, 0] = processes.maximum(spent[:, 0])
    assert FOREIGN not in broken_by, "an example that no process has"
    norms = None if ledger.norms is None else -processes.maximum(-ledger.norms)
    return Ledger(broken_by, broken_in, ledger.position, spent, norms=norms)
