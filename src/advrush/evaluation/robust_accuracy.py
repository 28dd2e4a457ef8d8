"""Clean and robust accuracy of a model on given examples, batch by batch, resumable."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn

from advrush.attacks import Attack, Ledger
from advrush.attacks.ensemble.engine import run_plan
from advrush.attacks.ensemble.single import SUSPECTED, own_batches, plan_of
from advrush.attacks.gate import (
    check_images,
    check_labels,
    check_settings,
    check_weights,
    graph_wanted,
    is_attack,
    opened,
    probe,
    seeded_globally,
)
from advrush.attacks.passes.fast_model import correct
from advrush.attacks.passes.memory import limited, within_memory
from advrush.attacks.target import targets_of
from advrush.config import check, radius_name
from advrush.evaluation.progress import Progress
from advrush.evaluation.results import AttackOutcome, Evaluation
from advrush.evaluation.sweep import Sweep
from advrush.evaluation.targeted import TargetedOutcome
from advrush.modes import evaluating, frozen, weights_unchanged
from advrush.parallel import ALONE, Parallel

UNKNOWN = -1
OnBatch = Callable[[Progress, str], None]
OnOutcome = Callable[[AttackOutcome | TargetedOutcome], None]


def measure(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    attacks: Sequence[Attack],
    batch_size: int = 100,
    progress: Progress | None = None,
    on_batch: OnBatch | None = None,
    sweeps: Sequence[Sweep] = (),
    processes: Parallel = ALONE,
    on_outcome: OnOutcome | None = None,
    keep_examples: bool = False,
) -> Evaluation:
    """Attack a model; return each example's outcome under each attack.

    Args:
        model: maps [0, 1] pixels (N, C, H, W) to logits; its modes, flags and gradients are left as they were. Of a
            `FastModel` one the exact model decides what is right and what broken.
        x: examples (N, C, H, W) in [0, 1].
        y: labels (N,).
        attacks: attack values; each sees the examples that are correct without an attack.
        batch_size: examples attacked at once.
        progress: the progress that an interrupted evaluation was last saved with.
        on_batch: called with the progress and the attack's name after each batch: the place to save it.
        sweeps: curves of PGD to measure besides.
        processes: the processes among which the examples are shared out; each has all of x and y, its own progress, and
            returns the outcome of all.
        on_outcome: called with each outcome as it is there: "clean" first, then the attacks.
        keep_examples: whether outcomes hold the adversarial examples; one process alone (ConfigError for several).

    Raises DataError for images or labels, ModelContractError for a model that no attack can be trusted on (see
    `attacks.gate`).
    """
    check_images(x)
    y = check_labels(y, len(x))
    check(not keep_examples or processes.world == 1, "keep_examples", keep_examples, "one process, not several")
    check(len(x) > 0, "images", len(x), "at least one")
    for attack in attacks:
        check(
            is_attack(attack),
            "attacks",
            attack,
            "attack values such as PGD(eps=0.031); `parse_attacks` makes them of names",
        )
        check_settings(attack)
        eps = getattr(attack, "eps", 1.0)
        check(eps < math.inf, "eps", eps, f"the radius at which {attack.name} tells an accuracy; or call its `run`")
    check_weights(model)
    with (
        torch.inference_mode(False),
        opened(),
        evaluating(model),
        frozen(model),
        weights_unchanged(),
        seeded_globally(x.device, 0),
    ):
        x, y = (part.clone() if part.is_inference() else part for part in (x, y))
        gradients, cut = graph_wanted(attacks)
        probe(model, x, y, gradients=gradients, cut=cut)
        for target in {target for attack in attacks if isinstance(target := getattr(attack, "target", None), int)}:
            targets_of(target, None, model, x[:1], y[:1])  # a class that the model lacks is told before the clean pass
        work = _Work(
            model, x, y, batch_size, progress or Progress(), on_batch or (lambda *_: None), processes, keep_examples
        )
        return work.evaluation(attacks, sweeps, on_outcome or (lambda _: None))


@dataclass
class _Work:
    """What the attacks of one evaluation have in common."""

    model: nn.Module
    x: Tensor
    y: Tensor
    batch_size: int
    progress: Progress
    on_batch: OnBatch
    processes: Parallel
    keep_examples: bool = False

    def evaluation(self, attacks: Sequence[Attack], sweeps: Sequence[Sweep], on_outcome: OnOutcome) -> Evaluation:
        """Return the outcomes of all attacks and curves."""
        with limited() as memory:
            found = self._evaluation(attacks, sweeps, on_outcome)
            rows: list[AttackOutcome | TargetedOutcome] = [*found.targeted, *found.attacks]
            if rows and (said := memory.take()):  # by the curves, which have no warnings of their own
                rows[-1].details.setdefault("warnings", []).extend(said)
        return found

    def _evaluation(self, attacks: Sequence[Attack], sweeps: Sequence[Sweep], on_outcome: OnOutcome) -> Evaluation:
        plans = [plan_of(attack, self.batch_size) for attack in attacks]
        # attacks by themselves meet the model alike: it is looked at once for all of them
        single = next((plan for plan in plans if plan.single), None)
        odd: tuple[str, ...] = ()
        if single is not None:
            seen = min(SUSPECTED, len(self.x))
            odd = within_memory(lambda: single.suspicions(self.model, self.x, self.y), seen)
        clean = self.clean()
        on_outcome(AttackOutcome(clean, name="clean"))
        outcomes: list[AttackOutcome] = []
        targeted: list[TargetedOutcome] = []
        for attack, plan, name in zip(attacks, plans, attack_names(attacks), strict=True):
            outcome = run_plan(
                plan, self.model, self.x, self.y, clean=clean, suspicions=odd if plan.single else None,
                ledger=self.progress.attacks.get(name), on_batch=self._saver(name), processes=self.processes,
                keep_examples=self.keep_examples,
            )  # fmt: skip
            if outcome.target is not None:
                targeted.append(TargetedOutcome.of(outcome, name))
                on_outcome(targeted[-1])
                continue
            outcomes.append(AttackOutcome.of(outcome, name, estimate=getattr(attack, "is_estimate", False)))
            on_outcome(outcomes[-1])
        curves = {name: flags for sweep in sweeps for name, flags in self.sweep(sweep, clean).items()}
        return Evaluation(clean, outcomes, curves, targeted=targeted)

    def clean(self) -> Tensor:
        """Return True (N,) where the model is right without an attack."""
        if self.progress.clean is None:
            rows = torch.arange(len(self.x)).split(self.batch_size)  # type: ignore[no-untyped-call]
            parts = [within_memory(partial(correct, self.model, self.x[r], self.y[r]), len(r)) for r in rows]
            self.progress = replace(self.progress, clean=torch.cat(parts).cpu())
        assert self.progress.clean is not None
        return self.processes.maximum(self.progress.clean.to(torch.int8)).bool()

    def sweep(self, sweep: Sweep, clean: Tensor) -> dict[str, Tensor]:
        """Measure the points of a curve; return flags (N,) by name."""
        begun = torch.where(clean, UNKNOWN, 0).to(torch.int8)
        flags = {name: self.progress.sweeps.get(name, begun).clone() for name in sweep.names}
        for rows, seeded in own_batches(
            sweep.attack, clean.nonzero().flatten(), self.batch_size, processes=self.processes
        ):
            if any((each[rows] == UNKNOWN).any() for each in flags.values()):
                flags_of = partial(sweep.flags, self.model, self.x[rows], self.y[rows], seeded.seed)
                found = within_memory(flags_of, len(rows))
                for each, right in zip(flags.values(), found, strict=True):
                    each[rows] = right.to("cpu", torch.int8)
                self.progress = self.progress.with_sweep(flags)
                self.on_batch(self.progress, "sweep")
        return {name: self.processes.maximum(each).bool() for name, each in flags.items()}

    def _saver(self, name: str) -> Callable[[Ledger], None]:
        def save(ledger: Ledger) -> None:
            self.progress = self.progress.with_attack(name, ledger)
            self.on_batch(self.progress, name)

        return save


def attack_names(attacks: Sequence[Attack]) -> list[str]:
    """Return a name for each attack: its own, with its radius where several have that name, then with a number.

    As `fgsm`; `fgsm, eps 8/255`; `fgsm, L2, eps 0.5` where those of a name are of several norms.
    """
    balls: dict[str, set[tuple[str, float | None]]] = {}
    for attack in attacks:
        balls.setdefault(attack.name, set()).add(_ball(attack))
    names: list[str] = []
    for attack in attacks:
        name, (norm, eps) = attack.name, _ball(attack)
        if len(balls[name]) > 1:
            several = len({norm for norm, _ in balls[name]}) > 1
            radius = "" if eps is None else f", eps {radius_name(eps, norm)}"
            name = f"{name}, {norm}{radius}" if several and norm else f"{name}{radius}"
        number, base = 2, name
        while name in names:
            name, number = f"{base}#{number}", number + 1
        names.append(name)
    return names


def _ball(attack: Attack) -> tuple[str, float | None]:
    """Return norm and radius, "" and None of an attack that has none."""
    return str(getattr(attack, "norm", "")), getattr(attack, "eps", None)
