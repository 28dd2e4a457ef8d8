"""Costs of jobs: multiply-accumulates from the networks' sizes, hours from the speed of finished runs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

import torch

from advrush.attacks.passes.chunks import PIECE
from advrush.data import KNOWN, DataConfig
from advrush.models.build import build
from advrush.models.count import macs
from advrush.paper.execute import Store
from advrush.paper.fit import fitted_channels
from advrush.paper.jobs import EvaluateJob, Job, LandscapeJob, SearchJob, ShareJob, TrainJob, TransferJob
from advrush.report import Record

MACS_PER_SECOND = 37e9
"""Of two CPU cores, where no run is finished yet: PGD-7 training of the published AdvRush network, 2.4 images a second
(docs/performance.md)."""
SECONDS_PER_OPERATION = 25e-6
"""Of one module's forward pass on a CPU, however small its images; measured on smoke trainings."""
SUPERNET = 9
"""A supernet against AdvRush's cells at its size: 14 edges with four convolutions each, against six."""
STEP = 3
"""A forward and a backward pass, in forward passes."""
AUTOATTACK = 4500 + 2 * 1100
"""Forward passes that AutoAttack takes for an image: 45 M forward and 11 M backward passes for 10,000 images."""
PASSES = {"fgsm": STEP, "pgd20": 20 * STEP, "pgd100": 100 * STEP, "autoattack": AUTOATTACK}
CALLS = {**PASSES, "autoattack": 7870 + 2 * 1910}
"""The same for a batch: it goes through all of AutoAttack while one of its images is still classified correctly (103
calls of APGD-CE, 932 of APGD-T, 1823 of FAB-T, 5015 of Square; 1912 gradients)."""
DIGITS = (1442, 355, 8, 1)
"""Training images, test images, side, channels of the handwritten digits."""


@dataclass(frozen=True)
class Work:
    """What a job does: passes of single images, and calls of networks with a batch of them, both in forward passes."""

    macs: float
    operations: float
    """Operations of the calls: each costs time of its own, however small the images."""

    @property
    def seconds(self) -> float:
        """Return the seconds that two CPU cores take for it."""
        return self.macs / MACS_PER_SECOND + self.operations * SECONDS_PER_OPERATION


def work(job: Job) -> Work:
    """Return about what a job does; of a network that a search is to find, what AdvRush's cells take."""
    match job:
        case SearchJob(config):
            train, _, side, channels = _images(config.data)
            steps = (train // 2 // config.batch_size) * config.epochs
            curved = (config.epochs - config.warmup_epochs) / config.epochs * (2 + 4) * (config.objective != "darts")
            size = _size("advrush", config.channels, config.layers, side, channels)
            return _work(SUPERNET * size[0], SUPERNET * size[1], steps * (2 * STEP + curved), config.batch_size)
        case TrainJob(config):
            train, _, side, channels = _images(config.data)
            passes = STEP * (1 + (0 if config.objective == "standard" else config.attack.steps))
            held = config.held_out(train)
            checks = (held / config.batch_size) * (1 + config.attack.val_steps * STEP) / config.eval_every
            calls = config.epochs * (train / config.batch_size * passes + checks)
            return _work(*_network(job, side, channels), calls, config.batch_size)
        case EvaluateJob(training, _, config):
            _, test, side, channels = _images(config.data)
            passes, calls = (
                1 + sum(known.get(name, 20 * STEP) for name in config.attacks) + STEP * sum(config.sweep_steps[-1:])
                for known in (PASSES, CALLS)
            )
            batches = math.ceil(test / min(config.batch_size, max(1, PIECE // (channels * side**2))))
            size = _network(training, side, channels)
            return Work(size[0] * test * passes, size[1] * batches * calls)
        case ShareJob(whole, _, of):
            found = work(whole)
            return Work(found.macs / of, found.operations / of)
        case TransferJob(trainings, _, config):
            _, test, side, channels = _images(config.data)
            sizes = [_network(each, side, channels) for each in trainings]
            calls = test / min(test, config.batch_size) * (1 + 20 * STEP + len(trainings))
            return _work(sum(m for m, _ in sizes), sum(o for _, o in sizes), calls, min(test, config.batch_size))
        case LandscapeJob(training, _, config):
            _, test, side, channels = _images(config.data)
            points = min(config.images, test) * config.points**2
            return _work(*_network(training, side, channels), points / config.batch_size, config.batch_size)


def _work(macs: float, operations: float, calls: float, batch: float) -> Work:
    return Work(macs * calls * batch, operations * calls)


def _images(data: DataConfig) -> tuple[int, int, int, int]:
    """Return training images, test images, side and channels of a data configuration."""
    known = KNOWN.get(data.dataset)
    train, test, side, channels = DIGITS if data.dataset == "digits" else (50_000, 10_000, 32, 3)
    if known is not None:
        train, test, side, channels = known.train, known.test, known.image_size, len(known.mean)
    return data.train_examples or train, data.test_examples or test, data.image_size or side, channels


def _network(job: TrainJob, side: int, in_channels: int) -> tuple[float, float]:
    config = job.config
    arch, channels = config.arch, config.channels
    if job.parameters is not None and channels is None:
        channels = fitted_channels(arch, config.layers, job.parameters)
    return _size(arch, channels, config.layers, side, in_channels)


@cache
def _size(arch: str, channels: int | None, layers: int | None, side: int, in_channels: int) -> tuple[float, float]:
    """Return a network's multiply-accumulates for an image, and the operations of a forward pass."""
    with torch.device("meta"):
        network = build(arch, channels=channels, layers=layers, image_size=side, in_channels=in_channels)
    operations = sum(1 for module in network.modules() if not list(module.children()))
    return macs(network, image_size=side, in_channels=in_channels), operations


def factors(jobs: Iterable[Job], store: Store) -> Mapping[str, float]:
    """Return by kin of job how many times longer the finished ones took than two CPU cores are expected to."""
    sums: dict[str, list[float]] = {}
    for job in jobs:
        run = store.finished(job)
        seconds = 0.0 if run is None else Record.read(run.path).seconds
        if seconds > 0:
            total = sums.setdefault(_kin(job), [0.0, 0.0])
            total[0] += seconds
            total[1] += work(job).seconds
    return {kind: taken / expected for kind, (taken, expected) in sums.items()}


def hours(job: Job, measured: Mapping[str, float]) -> float:
    """Return about how many hours a job takes: as its finished kin here, or else at the speed of two CPU cores."""
    return work(job).seconds * measured.get(_kin(job), measured.get(job.kind, 1.0)) / 3600


def _kin(job: Job) -> str:
    """Return the kind of a job, AutoAttack apart: it makes small calls, which a processor takes at another speed."""
    return "AutoAttack" if isinstance(job, EvaluateJob) and "autoattack" in job.config.attacks else job.kind


def where(measured: Mapping[str, float]) -> str:
    """Return what the hours were estimated from."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    note = f"; this machine has a {device}, which was not measured" if device else ""
    rest = f"estimated at the speed of 2 CPU cores{note}"
    if not measured:
        return rest
    return f"estimated from the finished {', '.join(sorted(measured))} runs here; what has none, {rest}"
