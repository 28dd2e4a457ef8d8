"""What jobs cost: multiply-accumulates from the networks' sizes, hours from the speed of finished runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache

import torch

from advrush.data.known import KNOWN
from advrush.models.build import build
from advrush.models.count import count
from advrush.paper.execute import Store
from advrush.paper.fit import fitted_channels
from advrush.paper.jobs import EvaluateJob, Job, LandscapeJob, SearchJob, TrainJob, TransferJob

MACS_PER_SECOND = 37e9
"""Of two CPU cores, where no run is finished yet: PGD-7 training of the published AdvRush network, 2.4 images a second
(docs/performance.md)."""
STEP = 3
"""A forward and a backward pass, in forward passes."""
AUTOATTACK = 4500 + 2 * 1100
"""Forward passes that AutoAttack takes for an image: 45 M forward and 11 M backward passes for 10,000 images."""
PASSES = {"fgsm": STEP, "pgd20": 20 * STEP, "pgd100": 100 * STEP, "autoattack": AUTOATTACK}
DIGITS = (1437, 360, 8, 1)
"""Training images, test images, side, channels of the handwritten digits."""


def macs(job: Job) -> float:
    """Return about how many multiply-accumulates a job takes; of a searched network, those of AdvRush's cells."""
    match job:
        case SearchJob(config):
            train, _, side, channels = _images(config.data)
            steps = (train // 2 // config.batch_size) * config.epochs
            curved = (config.epochs - config.warmup_epochs) / config.epochs * (2 + 4) * (config.objective != "darts")
            return (
                steps
                * config.batch_size
                * (2 * STEP + curved)
                * _supernet(config.channels, config.layers, side, channels)
            )
        case TrainJob(config):
            train, _, side, channels = _images(config.data)
            passes = STEP * (1 + (0 if config.objective == "standard" else config.attack.steps))
            held = min(1000, train // 10) if config.validation_examples is None else config.validation_examples
            checks = held * (1 + config.attack.val_steps * STEP) / config.eval_every
            return config.epochs * (train * passes + checks) * _network(job, side, channels)
        case EvaluateJob(training, _, config):
            _, test, side, channels = _images(config.data)
            passes = sum(PASSES.get(name, 20 * STEP) for name in config.attacks) + STEP * sum(config.sweep_steps[-1:])
            return test * (1 + passes) * _network(training, side, channels)
        case TransferJob(trainings, _, config):
            _, test, side, channels = _images(config.data)
            sizes = [_network(each, side, channels) for each in trainings]
            return test * sum(sizes) * (1 + 20 * STEP + len(trainings))
        case LandscapeJob(training, _, config):
            _, test, side, channels = _images(config.data)
            return min(config.images, test) * config.points**2 * _network(training, side, channels)


def _images(data: object) -> tuple[int, int, int, int]:
    """Return training images, test images, side and channels of a data configuration."""
    name = data.dataset  # type: ignore[attr-defined]
    known = KNOWN.get(name)
    whole = DIGITS if name == "digits" else (50_000, 10_000, 32, 3)
    if known is not None:
        whole = (known.train, known.test, known.image_size, len(known.mean))
    train, test = data.train_examples, data.test_examples  # type: ignore[attr-defined]
    side = data.image_size  # type: ignore[attr-defined]
    return (
        whole[0] if train is None else train, whole[1] if test is None else test, side or whole[2], whole[3]
    )  # fmt: skip


def _network(job: TrainJob, side: int, in_channels: int) -> float:
    config = job.config
    arch, channels = config.arch, config.channels
    if job.parameters is not None and channels is None:
        channels = fitted_channels(arch, config.layers, job.parameters)
    return _macs(arch, channels, config.layers, side, in_channels)


@cache
def _macs(arch: str, channels: int | None, layers: int | None, side: int, in_channels: int) -> float:
    network = build(arch, channels=channels, layers=layers, image_size=side, in_channels=in_channels)
    return count(network, image_size=side, in_channels=in_channels).macs


@cache
def _supernet(channels: int, layers: int, side: int, in_channels: int) -> float:
    """Return a supernet's multiply-accumulates for an image: about nine times those of AdvRush's cells at its size.

    A supernet has 14 edges with eight primitives, of which four are convolutions, where a derived cell has eight edges
    of one primitive: 14 * 4 / 6 convolutions.
    """
    return 9 * _macs("advrush", channels, layers, side, in_channels)


def rates(jobs: Iterable[Job], store: Store) -> Mapping[str, float]:
    """Return multiply-accumulates a second by kind of job, measured on the finished ones."""
    work: dict[str, list[float]] = {}
    for job in jobs:
        run = store.finished(job)
        seconds = 0.0 if run is None else _seconds(run.result())
        if seconds > 0:
            total = work.setdefault(job.kind, [0.0, 0.0])
            total[0] += macs(job)
            total[1] += seconds
    return {kind: done / seconds for kind, (done, seconds) in work.items()}


def _seconds(result: Mapping[str, object]) -> float:
    if isinstance(result.get("seconds"), int | float):
        return float(result["seconds"])  # type: ignore[arg-type]
    attacks = result.get("attacks")
    return sum(float(row["seconds"]) for row in attacks) if isinstance(attacks, list) else 0.0


def hours(job: Job, measured: Mapping[str, float]) -> float:
    """Return about how many hours a job takes at the measured speed of its kind, or that of two CPU cores."""
    return macs(job) / measured.get(job.kind, MACS_PER_SECOND) / 3600


def where(measured: Mapping[str, float]) -> str:
    """Return what the hours were estimated from."""
    if measured:
        return f"estimated from the finished {', '.join(sorted(measured))} runs here"
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    note = f"; this machine has a {device}, which was not measured" if device else ""
    return f"estimated at the speed of 2 CPU cores (37 billion multiply-accumulates a second){note}"
