"""Score the rows of a table with a search's supernet (inherited weights)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from advrush import config as configs
from advrush.curvature import measure_curvature
from advrush.data import Dataset, Split
from advrush.errors import RunError
from advrush.models.normalize import Normalized
from advrush.models.relaxations import RELAXATIONS
from advrush.models.supernet import Supernet
from advrush.run import Run
from advrush.searching import SearchConfig
from advrush.space import Architecture, space_named
from advrush.tabular.config import InheritedScores
from advrush.tabular.inherited import InheritedNetwork, recalibrate

BATCH = 64

SCORES = ("validation_loss", "l_lambda", "clean_acc", "pgd_acc")
"""What is measured of each row; losses are entered with their sign changed, so that higher is better."""


@dataclass(frozen=True)
class SupernetScores:
    """Scores of genotypes with the weights that they inherit from one supernet."""

    supernet: Supernet
    dataset: Dataset
    options: InheritedScores
    h: float = 1.5

    def of(self, genotype: Architecture) -> dict[str, float]:
        """Return validation loss, L_lambda, clean and PGD accuracy (fractions) on test images.

        Batch-norm statistics are taken anew on training images first: those of the supernet are of other sums.
        """
        like = next(self.supernet.parameters())
        network = InheritedNetwork(self.supernet, genotype).to(like.device, like.dtype)
        recalibrate(network, (self._normal(x) for x, _ in self._batches(self.dataset.train, True)))
        model = Normalized(network, self.dataset.mean, self.dataset.std).to(like.device, like.dtype).eval()
        attack = self.options.pgd()
        totals = dict.fromkeys(SCORES, 0.0)
        for number, (x, y) in enumerate(self._batches(self.dataset.test, False)):
            generator = torch.Generator().manual_seed(number)
            with torch.no_grad():
                logits = model(x)
            x_adv = attack.perturb(model, x, y, generator=generator)
            with torch.no_grad():
                attacked = model(x_adv)
            values = {
                "validation_loss": cross_entropy(logits, y),
                "l_lambda": measure_curvature(network, self._normal(x), y, h=self.h),
                "clean_acc": (logits.argmax(1) == y).double().mean(),
                "pgd_acc": (attacked.argmax(1) == y).double().mean(),
            }
            for name, value in values.items():
                totals[name] += float(value) * len(y)
        images = min(self.options.images, len(self.dataset.test))
        return {name: total / images for name, total in totals.items()}

    def _normal(self, x: Tensor) -> Tensor:
        mean, std = (
            torch.tensor(v, dtype=x.dtype, device=x.device).view(1, -1, 1, 1)
            for v in (self.dataset.mean, self.dataset.std)
        )
        return (x - mean) / std

    def _batches(self, split: Split, training: bool) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield pixels in [0, 1] with labels: the first images of the split, which come in no order of classes."""
        like = next(self.supernet.parameters())
        most = self.options.recalibration_images if training else self.options.images
        count = min(most, len(split))
        order = torch.randperm(len(split), generator=torch.Generator().manual_seed(0))[:count]
        part = split.subset(order).to(like.device)
        for start in range(0, count, BATCH):
            rows = slice(start, start + BATCH)
            if len(part.labels[rows]) > 1 or not training:  # one image has no batch statistics
                yield part.images[rows].to(like.dtype) / 255, part.labels[rows]


def supernet_of(run: Run, dataset: Dataset, device: torch.device) -> tuple[Supernet, SearchConfig]:
    """Return a finished search's supernet in eval mode, with its last weights and alphas."""
    config = configs.load(SearchConfig, run.path / "config.toml")
    state = run.load_state(writer=False)
    if state is None:
        raise RunError(f"{run.path}: no last.pt; its supernet's weights are gone")
    supernet = RELAXATIONS[config.relaxation](
        space_named(config.space), channels=config.channels, layers=config.layers, num_classes=dataset.num_classes,
        in_channels=dataset.channels, fast=config.fast,
    )  # fmt: skip
    supernet.load_state_dict(state["supernet"])
    return supernet.to(device, getattr(torch, config.dtype)).eval(), config


def oriented(values: Sequence[dict[str, float]], name: str) -> list[float]:
    """Return a score's values so that higher is better: losses and curvature with their sign changed."""
    sign = -1.0 if name in ("validation_loss", "l_lambda") else 1.0
    return [sign * value[name] for value in values]
