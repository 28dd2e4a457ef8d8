"""AutoAttack (Croce and Hein, ICML 2020): complementary attacks without parameters to tune, one after another."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from advrush.attacks.apgd import APGD, APGDT
from advrush.attacks.ensemble.cascade import Rounds
from advrush.attacks.ensemble.engine import execute, run_from_state
from advrush.attacks.ensemble.random_streams import Order
from advrush.attacks.ensemble.result import Outcome
from advrush.attacks.ensemble.rounds import Staged
from advrush.attacks.fab import FAB
from advrush.attacks.gate import gated
from advrush.attacks.square import Square
from advrush.attacks.threat import Norm, threat_model
from advrush.config import check, did_you_mean
from advrush.errors import ConfigError
from advrush.parallel import ALONE, Parallel

State = dict[str, Tensor]
"""How far a cascade has come: tensors that `torch.load(weights_only=True)` reads."""

VERSIONS = {
    "standard": ("apgd_ce", "apgd_t", "fab_t", "square"),
    "plus": ("apgd_ce", "apgd_dlr", "fab", "square", "apgd_t", "fab_t"),
    "rand": ("apgd_ce", "apgd_dlr"),
}


class Cascade(ABC):
    """Attacks run one after another on what is left: frozen dataclasses derive from it and list the attacks."""

    eps: float
    norm: Norm
    seed: int
    batch_size: int
    order: Order

    @property
    @abstractmethod
    def name(self) -> str:
        """Name for tables and files."""

    @abstractmethod
    def attacks_in_order(self) -> tuple[Staged, ...]:
        """Return the attacks."""

    def plan(self, indices: Tensor | None = None) -> Rounds:
        """Return how the ensemble goes through examples, which have these places (N,) in a larger set."""
        attacks = self.attacks_in_order()
        return Rounds(self.name, attacks, self.batch_size, self.order, averages=self.averages, indices=indices)

    @gated
    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """Return adversarial examples (N, C, H, W), the originals where none is found.

        With `generator` (a training loop's own) the attacks are seeded by a number drawn from it, else by `seed`.
        """
        drawn = self if generator is None else replace(self, seed=_seed_from(generator))  # type: ignore[type-var]
        ledger = execute(drawn.plan(), model, x, y, keep_examples=True)
        assert ledger.x_adv is not None
        return ledger.x_adv.to(x)

    @gated
    def run(
        self,
        model: nn.Module,
        x: Tensor,
        y: Tensor,
        *,
        state: Mapping[str, Tensor] | None = None,
        on_batch: Callable[[State], None] | None = None,
        keep_examples: bool = False,
        indices: Tensor | None = None,
        processes: Parallel = ALONE,
    ) -> Outcome:
        """Return what broke which example.

        Args:
            model: maps [0, 1] pixels (N, C, H, W) to logits (N, K), K >= 2.
            x: examples in [0, 1].
            y: labels (N,).
            state: what `on_batch` was last given in an interrupted run on the same examples; the flags come out as
                if it had not been interrupted. RunError where it does not fit.
            on_batch: called after each batch of each round with the state to save.
            keep_examples: whether the outcome (and the state) holds the adversarial examples.
            indices: places (N,) of the examples in the whole set, where x is one process's share of it; needs
                `order="example"` for the outcome of one process.
            processes: the processes among which the examples are shared; each has all of x and y. Needs
                `order="example"`.
        """
        return run_from_state(
            self.plan(indices),
            model,
            x,
            y,
            state=state,
            on_batch=on_batch,
            keep_examples=keep_examples,
            processes=processes,
        )

    @property
    def uses_gradients(self) -> bool:
        """Return whether any of the attacks asks for gradients."""
        return any(getattr(attack, "uses_gradients", True) for attack in self.attacks_in_order())

    @property
    def needs_gradients(self) -> bool:
        """Return whether all of the attacks ask for gradients."""
        return all(getattr(attack, "uses_gradients", True) for attack in self.attacks_in_order())

    @property
    def averages(self) -> bool:
        """Return whether the attacks average gradients, as random models need."""
        return False


def _seed_from(generator: torch.Generator) -> int:
    return int(torch.randint(2**32, (), generator=generator, device=generator.device))


@dataclass(frozen=True)
class AutoAttack(Cascade):
    """The published ensemble, with the published budgets: the outcome of its reference implementation."""

    eps: float = 0.031
    """Radius of the ball, in [0, 1] pixel units."""
    norm: Norm = "Linf"
    """Norm of the ball."""
    version: Literal["standard", "plus", "rand", "custom"] = "standard"
    """The published lists, or `attacks`."""
    attacks: tuple[str, ...] = ()
    """For version custom: names out of apgd_ce, apgd_dlr, apgd_t, fab, fab_t, square."""
    seed: int = 0
    """Seed of every attack."""
    batch_size: int = 250
    """Examples attacked together; with order batch it is part of what is computed."""
    order: Order = "batch"
    """Random numbers by batch, as the reference draws them, or by example, whatever the batches."""

    def __post_init__(self) -> None:
        threat_model(self.norm, self.eps)
        check(self.version in (*VERSIONS, "custom"), "version", self.version, "standard, plus, rand or custom")
        check(self.batch_size >= 1, "batch_size", self.batch_size, "a whole number >= 1")
        check(self.order in ("batch", "example"), "order", self.order, "batch or example")
        custom = self.version == "custom"
        check(custom == bool(self.attacks), "attacks", self.attacks, "names with version custom, and only then")
        self.attacks_in_order()

    @property
    def name(self) -> str:
        """Name for tables and files."""
        if self.version == "custom":
            return "+".join(attack.name for attack in self.attacks_in_order())
        return "autoattack" + ("" if self.version == "standard" else f"_{self.version}")

    @property
    def averages(self) -> bool:
        """Return whether this is the version for random models."""
        return self.version == "rand"

    def attacks_in_order(self) -> tuple[Staged, ...]:
        """Return the attacks with the version's budgets."""
        names = self.attacks if self.version == "custom" else VERSIONS[self.version]
        restarts = 5 if self.version == "plus" else 1
        return tuple(staged(n, self.eps, self.norm, self.seed, restarts, 20 if self.averages else 1) for n in names)


@dataclass(frozen=True)
class Duo(Cascade):
    """APGD-CE and APGD-T alone: a fifth of AutoAttack's cost, and an upper bound of what it would find."""

    eps: float = 0.031
    """Radius of the ball, in [0, 1] pixel units."""
    norm: Norm = "Linf"
    """Norm of the ball."""
    seed: int = 0
    """Seed of both attacks."""
    batch_size: int = 250
    """Examples attacked together."""
    order: Order = "batch"
    """Random numbers by batch or by example."""

    def __post_init__(self) -> None:
        threat_model(self.norm, self.eps)
        check(self.batch_size >= 1, "batch_size", self.batch_size, "a whole number >= 1")
        check(self.order in ("batch", "example"), "order", self.order, "batch or example")

    @property
    def name(self) -> str:
        """Name for tables and files."""
        return "apgd_duo"

    def attacks_in_order(self) -> tuple[Staged, ...]:
        """Return APGD-CE and APGD-T."""
        return APGD(self.eps, norm=self.norm, seed=self.seed), APGDT(self.eps, norm=self.norm, seed=self.seed)


def staged(name: str, eps: float, norm: Norm, seed: int, restarts: int = 1, eot_iter: int = 1) -> Staged:
    """Return one of AutoAttack's attacks by name; `restarts` is for the untargeted ones. ConfigError if unknown."""
    makers: dict[str, Callable[[], Staged]] = {
        "apgd_ce": lambda: APGD(eps, restarts=restarts, eot_iter=eot_iter, norm=norm, seed=seed),
        "apgd_dlr": lambda: APGD(eps, restarts=restarts, eot_iter=eot_iter, loss="dlr", norm=norm, seed=seed),
        "apgd_t": lambda: APGDT(eps, norm=norm, seed=seed),
        "fab": lambda: FAB(eps, restarts=restarts, norm=norm, seed=seed),
        "fab_t": lambda: FAB(eps, targets=9, norm=norm, seed=seed),
        "square": lambda: Square(eps, norm=norm, seed=seed),
    }
    key = name.lower().replace("-", "_")
    if key not in makers:
        raise ConfigError(f"attacks: unknown attack '{name}'{did_you_mean(name, makers)}; known: {', '.join(makers)}")
    return makers[key]()
