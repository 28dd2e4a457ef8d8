"""Attacks one after another, each on the examples that the earlier ones left correct, in full batches."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from advrush.attacks.attack import seeded
from advrush.attacks.ensemble.random_streams import BatchDraws, Draws, ExampleDraws, Group, Order
from advrush.attacks.ensemble.record import Ledger
from advrush.attacks.ensemble.rounds import Staged, undisturbed
from advrush.attacks.passes.chunks import predict
from advrush.attacks.passes.counting import counting
from advrush.attacks.passes.fast_model import exact_model
from advrush.attacks.threat import threat_model
from advrush.seeds import Purpose, derive_seed

OnBatch = Callable[[Ledger], None]


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

    Rounds run one after another over all examples that are still correct, so that batches stay full to the end.

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
    seed = attacks[0].seed if attacks else 0
    device = next((p.device for p in model.parameters()), x.device)
    with undisturbed(model, device, seed):
        if ledger is None:
            ledger = Ledger.begin(_correct(model, x, y, batch_size, device), len(attacks), x if keep_examples else None)
        classes = predict(model, x[:1].to(device)).shape[1] if len(x) else 0
        runner = _Runner(model, x, y, batch_size, order, ledger, indices, device)
        while int(ledger.position[0]) < len(attacks):
            index, number, done = (int(value) for value in ledger.position)
            attack = attacks[index]
            rows = ledger.alive(index, number)
            if number >= attack.rounds(classes) or not len(rows):
                ledger.position[:] = torch.tensor([index + 1, 0, 0])
            elif done >= len(rows):
                ledger.position[:] = torch.tensor([index, number + 1, 0])
            else:
                runner.batch(attack, index, number, rows[done : done + batch_size])
                ledger.position[2] = min(done + batch_size, len(rows))
                if on_batch is not None:
                    on_batch(ledger)
    return ledger


def _correct(model: nn.Module, x: Tensor, y: Tensor, batch_size: int, device: torch.device) -> Tensor:
    parts = (
        [predict(exact_model(model), part.to(device)).argmax(dim=1).cpu() for part in torch.split(x, batch_size)]
        if len(x)
        else []
    )
    return torch.cat(parts) == y.cpu() if parts else torch.zeros(0, dtype=torch.bool)


class _Runner:
    """What the batches of one cascade have in common."""

    def __init__(
        self,
        model: nn.Module,
        x: Tensor,
        y: Tensor,
        batch_size: int,
        order: Order,
        ledger: Ledger,
        indices: Tensor | None,
        device: torch.device,
    ) -> None:
        self.model, self.x, self.y, self.batch_size, self.order = model, x, y, batch_size, order
        self.ledger, self.device = ledger, device
        self.indices = torch.arange(len(x)) if indices is None else indices.cpu()

    def batch(self, attack: Staged, index: int, number: int, rows: Tensor) -> None:
        """Attack these rows and record what broke."""
        started = time.monotonic()
        x, y = (tensor[rows.to(tensor.device)].to(self.device) for tensor in (self.x, self.y))
        draws = self._draws(attack, index, number, rows)
        with counting(self.model) as passes:
            points, broken = attack.verified_round(self.model, x, y, number=number, draws=draws)
        self.ledger.record(index, number, rows[broken.cpu()], points[broken])
        spent = [time.monotonic() - started, passes.forwards, passes.backwards]
        self.ledger.passes[index] += torch.tensor(spent, dtype=torch.float64)

    def _draws(self, attack: Staged, index: int, number: int, rows: Tensor) -> Draws:
        if self.order == "example":
            seed = derive_seed(Purpose.ENSEMBLE_MEMBER, attack.seed, index)
            return ExampleDraws(seed, self.indices[rows], calls=number << 32)
        members = self.ledger.alive(index, 0)
        place = torch.searchsorted(members, rows)
        groups = []
        for group in sorted(set((place // self.batch_size).tolist())):
            own = members[group * self.batch_size : (group + 1) * self.batch_size]
            groups.append(self._group(attack, index, number, own, rows))
        return BatchDraws(tuple(groups))

    def _group(self, attack: Staged, index: int, number: int, own: Tensor, rows: Tensor) -> Group:
        """Return a group whose generator stands where the published order has it when round `number` begins."""
        generator = seeded(attack.seed)
        threat = threat_model(attack.norm, attack.eps)
        for earlier in range(number):
            left = torch.isin(own, self.ledger.alive(index, earlier))
            if attack.draws_noise(earlier) and left.any():
                threat.sample((int(left.sum()), *self.x.shape[1:]), generator)
        now = own[torch.isin(own, self.ledger.alive(index, number))]
        return Group(generator, len(now), torch.isin(now, rows).nonzero().flatten())
