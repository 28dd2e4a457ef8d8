"""The network of a training: its blueprint, whether its batch norm can take the batches, whether a run is of it."""

from __future__ import annotations

from pathlib import Path

import torch

from advrush.config import check
from advrush.data import Dataset
from advrush.errors import AdvrushError, RunError
from advrush.models.cell import plain_modules
from advrush.models.weights.saved import BEST, WEIGHTS, Blueprint
from advrush.reading.tensors import read_metadata
from advrush.training.config import TrainConfig
from advrush.training.step import parts


def blueprint_of(config: TrainConfig, dataset: Dataset) -> Blueprint:
    """Return what builds the network of a training."""
    normalize = config.objective == "standard" if config.normalize is None else config.normalize
    return Blueprint(
        arch=config.arch,
        num_classes=dataset.num_classes,
        image_size=dataset.image_size,
        in_channels=dataset.channels,
        channels=config.channels,
        layers=config.layers,
        auxiliary=config.auxiliary > 0,
        mean=dataset.mean if normalize else None,
        std=dataset.std if normalize else None,
    )


def check_normalization(run: Path, blueprint: Blueprint) -> None:
    """Raise RunError where the weights of a run normalize with other constants than the data have now.

    Runs of resized images from before identity.json held these tell them in their weights alone.
    """
    for path in (run / name for name in (WEIGHTS, BEST)):
        try:
            known = Blueprint.from_metadata(read_metadata(path)) if path.is_file() else blueprint
        except AdvrushError:  # damaged: whoever reads the weights is told
            continue
        for name in ("mean", "std"):
            then, now = ([round(value, 6) for value in getattr(one, name) or ()] for one in (known, blueprint))
            if then != now:
                raise RunError(
                    f"{run}: this run normalizes its images with {name} {then}, those of today with {now}; give the "
                    "configuration another name, or remove that run"
                )


def check_batch_norm(config: TrainConfig, dataset: Dataset) -> None:
    """Raise ConfigError where a single example goes through a network whose batch norm then has but one value."""
    field = "batch_size" if config.micro_batch is None else "micro_batch"
    size = config.micro_batch or config.batch_size
    sizes = {part.stop - part.start for part in parts(config.batch_size, size)}
    if 1 not in sizes:
        return
    with torch.device("meta"), plain_modules():
        network = blueprint_of(config, dataset).build().train()
        try:
            network(torch.empty(1, dataset.channels, dataset.image_size, dataset.image_size))
        except ValueError:  # batch norm: more than 1 value per channel
            check(False, field, size, "2 or more: batch norm cannot normalize the single value of one example")
