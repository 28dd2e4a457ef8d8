"""Run attacks one after another, each on the examples that are still correctly classified, in full batches."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from advrush.attacks.attack import seeded
from advrush.attacks.ensemble.checks import suspicions
from advrush.attacks.ensemble.engine import OnBatch, execute
from advrush.attacks.ensemble.random_streams import BatchStream, ExampleStream, Group, Order, RandomStream
from advrush.attacks.ensemble.record import FOREIGN, UNBROKEN, WRONG, Ledger
from advrush.attacks.ensemble.rounds import Staged, undisturbed
from advrush.attacks.passes.chunks import device_of, predict
from advrush.attacks.passes.classes import told
from advrush.attacks.passes.fast_model import exact_model
from advrush.attacks.passes.memory import within_memory
from advrush.attacks.threat import threat_model
from advrush.config import check
from advrush.parallel import Parallel
from advrush.seeds import Purpose, derive_seed


def cascade(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    attacks: Sequence[Staged],
    batch_size: int = 250,
    order: Order = "batch",
    ledger: Ledger | None = None,
    keep_examples: bool = False,
    on_batch: OnBatch | None = None,
    indices: Tensor | None = None,
) -> Ledger:
    """Return the record of which attack broke which example.

    Args:
        model: maps [0, 1] pixels (N, C, H, W) to logits (N, K).
        x: examples; they stay where they are and travel to the model's device batch by batch.
        y: labels (N,).
        attacks: what to run, weakest and cheapest first.
        batch_size: examples attacked together.
        order: `batch` draws random numbers as the published implementation does, by batches of `batch_size`;
            `example` makes them a function of seed and example alone, whatever the batches and the processes.
        ledger: the record of an interrupted cascade, completed in place.
        keep_examples: whether the record holds the adversarial examples.
        on_batch: called with the record after each batch; what it saves there resumes exactly.
        indices: places (N,) of the examples in the whole set, where `x` is one process's share of it.
    """
    plan = Rounds("cascade", tuple(attacks), batch_size, order, indices=indices)
    return execute(plan, model, x, y, ledger=ledger, keep_examples=keep_examples, on_batch=on_batch)


@dataclass(frozen=True)
class Rounds:
    """The way of an ensemble: each attack's rounds over all examples that the earlier ones left correct."""

    name: str
    attacks: tuple[Staged, ...]
    batch_size: int
    order: Order
    averages: bool = False
    """Whether the attacks average gradients, as random models need."""
    indices: Tensor | None = None
    """Places (N,) of the examples in a larger set."""
    single: bool = False
    target: str | None = None
    """None: ensembles are untargeted, whatever classes their attacks aim at."""
    measures_norms: bool = False

    @property
    def members(self) -> tuple[str, ...]:
        """Return the attacks' names."""
        return tuple(attack.name for attack in self.attacks)

    def within(self, model: nn.Module, device: torch.device) -> AbstractContextManager[None]:
        """Attack in eval mode with frozen parameters; what a random model draws is seeded."""
        return undisturbed(model, device, self.attacks[0].seed if self.attacks else 0)

    def suspicions(self, model: nn.Module, x: Tensor, y: Tensor) -> tuple[str, ...]:
        """Return what is odd about the model on the first batch."""
        device = device_of(model, x.device)
        first, labels = x[: self.batch_size].to(device), y[: self.batch_size].to(device)
        with self.within(model, device):
            return suspicions(exact_model(model), first, labels, random_expected=self.averages)

    def begin(self, model: nn.Module, x: Tensor, y: Tensor, *, clean: Tensor | None, processes: Parallel) -> Tensor:
        """Return where each example stands: every world-th example is this process's."""
        check(processes.world == 1 or self.order == "example", "order", self.order, "example, in several processes")
        start = torch.full((len(x),), FOREIGN, dtype=torch.int16)
        own = slice(processes.rank, None, processes.world)
        device = device_of(model, x.device)
        right = _correct(model, x[own], y[own], self.batch_size, device)
        start[own] = torch.where(right, UNBROKEN, WRONG).to(torch.int16)
        return start

    def rounds(self, model: nn.Module, x: Tensor) -> tuple[int, ...]:
        """Return the number of rounds of each attack: some aim at one class after another."""
        device = device_of(model, x.device)
        classes = predict(model, x[:1].to(device)).shape[1] if len(x) else 0
        return tuple(attack.rounds(classes) for attack in self.attacks)

    def attack(
        self, model: nn.Module, x: Tensor, y: Tensor, *, member: int, number: int, rows: Tensor, ledger: Ledger
    ) -> tuple[Tensor, Tensor]:
        """Return the points of a round, and True (n,) where the exact model is wrong about them."""
        attack = self.attacks[member]
        stream = self._stream(attack, member, number, rows, ledger, tuple(x.shape[1:]))
        return attack.verified_round(model, x, y, number=number, stream=stream)

    def _stream(
        self, attack: Staged, index: int, number: int, rows: Tensor, ledger: Ledger, shape: tuple[int, ...]
    ) -> RandomStream:
        if self.order == "example":
            seed = derive_seed(Purpose.ENSEMBLE_MEMBER, attack.seed, index)
            return ExampleStream(seed, (rows if self.indices is None else self.indices.cpu()[rows]), calls=number << 32)
        members = ledger.alive(index, 0)
        place = torch.searchsorted(members, rows)
        groups = []
        for group in sorted(set((place // self.batch_size).tolist())):
            own = members[group * self.batch_size : (group + 1) * self.batch_size]
            groups.append(_group(attack, index, number, own, rows, ledger, shape))
        return BatchStream(tuple(groups))


def _group(
    attack: Staged, index: int, number: int, own: Tensor, rows: Tensor, ledger: Ledger, shape: tuple[int, ...]
) -> Group:
    """Replay the reference implementation's random stream up to round `number`."""
    generator = seeded(attack.seed)
    threat = threat_model(attack.norm, attack.eps)
    for earlier in range(number):
        left = torch.isin(own, ledger.alive(index, earlier))
        if attack.draws_noise(earlier) and left.any():
            threat.sample((int(left.sum()), *shape), generator)
    now = own[torch.isin(own, ledger.alive(index, number))]
    return Group(generator, len(now), torch.isin(now, rows).nonzero().flatten())


def _correct(model: nn.Module, x: Tensor, y: Tensor, batch_size: int, device: torch.device) -> Tensor:
    def classes(part: Tensor) -> Tensor:
        return told(exact_model(model), part.to(device)).cpu()

    parts = [within_memory(partial(classes, part), len(part)) for part in torch.split(x, batch_size)] if len(x) else []
    return torch.cat(parts) == y.cpu() if parts else torch.zeros(0, dtype=torch.bool)
