"""Build the networks of a table's rows as they are scored."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from advrush.data import Dataset
from advrush.models.network import Network
from advrush.models.normalize import Normalized
from advrush.models.supernet import Supernet
from advrush.models.weights.saved import load
from advrush.modes import frozen
from advrush.tabular.inherited import InheritedNetwork, recalibrate
from advrush.tabular.predictors import PREDICTORS, Probe
from advrush.tabular.predictors_config import PredictorsConfig
from advrush.tabular.table import Row
from advrush.training import train

CALIBRATION = 64
"""Training images of which batch-norm statistics are taken where no training has left any."""


@dataclass(frozen=True)
class RowNetworks:
    """Builds each row's network and measures its scores."""

    config: PredictorsConfig
    dataset: Dataset
    runs_dir: Path
    data_dir: Path | None
    names: tuple[str, ...]
    supernet: Supernet | None = None
    """Of the state `inherited`."""

    def scores(self, row: Row) -> dict[str, float]:
        """Return the scores of a row by name."""
        network, normalized = self._network(row)
        x, y, std = self._images(normalized)
        probe = Probe(row.genotype, network.eval(), x, y, self.config.h, self.config.eps / std)
        return {name: float(PREDICTORS[name].of(probe)) for name in self.names}

    def _network(self, row: Row) -> tuple[nn.Module, bool]:
        """Return the network in eval mode, and whether it takes normalized inputs (else pixels)."""
        if self.config.state == "inherited":
            assert self.supernet is not None, "the state `inherited` has a supernet"
            inherited = InheritedNetwork(self.supernet, row.genotype)
            self._calibrate(inherited)
            return inherited, True
        network = self._initialized(row)
        if self.config.state == "init" or not self._sees_images(network):
            return network, True
        model = load(self._train(row))
        return (model.model, True) if isinstance(model, Normalized) else (model, False)

    def _initialized(self, row: Row) -> Network:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.config.seed)
            sizes = self.config.network
            network = Network(
                row.genotype, sizes.channels, sizes.layers, num_classes=self.dataset.num_classes,
                image_size=self.dataset.image_size, in_channels=self.dataset.channels,
            )  # fmt: skip
        self._calibrate(network)
        return network

    def _sees_images(self, network: nn.Module) -> bool:
        """Tell whether the logits depend on the image; those of a cell of zeros do not: nothing is to be trained."""
        pixels = self.dataset.train.images[:2].float() / 255
        with frozen(network), torch.enable_grad():
            return bool(network(pixels.requires_grad_(True)).requires_grad)

    def _calibrate(self, network: nn.Module) -> None:
        """Take the batch-norm statistics of training images: fresh ones would leave every layer unnormalized."""
        pixels = self.dataset.train.images[:CALIBRATION].float() / 255
        recalibrate(network, [self._normalize(pixels)])

    def _train(self, row: Row) -> Path:
        """Train a row's network, or take the run where it was trained before."""
        config = replace(
            self.config.train, arch=row.genotype.to_json(), channels=self.config.network.channels,
            layers=self.config.network.layers, data=self.config.data, name=f"{self.config.name}-row-{row.index:05d}",
        )  # fmt: skip
        run = train(config, data_dir=self.data_dir, runs_dir=self.runs_dir, device="cpu", display=False)
        return run.path / "weights.safetensors"

    def _images(self, normalized: bool) -> tuple[Tensor, Tensor, float]:
        """Return the images that all networks are probed with, their labels, and the unit of the input in pixels."""
        generator = torch.Generator().manual_seed(self.config.seed)
        order = torch.randperm(len(self.dataset.train), generator=generator)[: self.config.images]
        part = self.dataset.train.subset(order)
        pixels = part.pixels()
        if not normalized:
            return pixels, part.labels, 1.0
        return self._normalize(pixels), part.labels, sum(self.dataset.std) / len(self.dataset.std)

    def _normalize(self, pixels: Tensor) -> Tensor:
        mean, std = (torch.tensor(v).view(1, -1, 1, 1) for v in (self.dataset.mean, self.dataset.std))
        return (pixels - mean) / std
