"""The runs that artifacts need, as values: equal ones are one run, each knows those it waits for."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from advrush import config as configs
from advrush.analysis import LandscapeConfig
from advrush.evaluation import EvaluateConfig, TransferConfig
from advrush.searching import SearchConfig
from advrush.training import TrainConfig


@dataclass(frozen=True)
class SearchJob:
    """A search."""

    config: SearchConfig
    kind = "search"

    @property
    def needs(self) -> tuple[Job, ...]:
        """Return nothing: a search waits for no other run."""
        return ()


@dataclass(frozen=True)
class TrainJob:
    """A training; `config.arch` is filled in with what `search` finds, `channels` so that `parameters` are met."""

    config: TrainConfig
    dataset: str
    """The paper's data set that its images stand for."""
    search: SearchJob | None = None
    parameters: int | None = None
    kind = "train"

    @property
    def needs(self) -> tuple[Job, ...]:
        """Return the search whose architecture is trained, if it is one's."""
        return () if self.search is None else (self.search,)


@dataclass(frozen=True)
class _OnCheckpoint:
    training: TrainJob
    checkpoint: str

    @property
    def needs(self) -> tuple[Job, ...]:
        """Return the training."""
        return (self.training,)


@dataclass(frozen=True)
class EvaluateJob(_OnCheckpoint):
    """Attacks on one checkpoint of a training."""

    config: EvaluateConfig
    kind = "evaluate"

    @property
    def can_be_shared(self) -> bool:
        """Return whether its examples can be attacked by several tasks."""
        return self.config.order == "example" and not self.config.save_examples


@dataclass(frozen=True)
class ShareJob:
    """One share of the examples of an evaluation, attacked by itself."""

    evaluation: EvaluateJob
    number: int
    of: int
    kind = "share"

    @property
    def config(self) -> EvaluateConfig:
        """Return the evaluation's configuration."""
        return self.evaluation.config

    @property
    def needs(self) -> tuple[Job, ...]:
        """Return the training."""
        return self.evaluation.needs


@dataclass(frozen=True)
class TransferJob:
    """Examples of each network on each network."""

    trainings: tuple[TrainJob, ...]
    checkpoint: str
    config: TransferConfig
    kind = "transfer"

    @property
    def needs(self) -> tuple[Job, ...]:
        """Return the trainings."""
        return self.trainings


@dataclass(frozen=True)
class LandscapeJob(_OnCheckpoint):
    """The loss surface of one checkpoint of a training."""

    config: LandscapeConfig
    kind = "landscape"


Job = SearchJob | TrainJob | EvaluateJob | ShareJob | TransferJob | LandscapeJob


def label(job: Job) -> str:
    """Return what a person calls the job: name, seed, checkpoint."""
    if isinstance(job, SearchJob | TrainJob):
        return f"{job.config.name}, seed {job.config.seed}"
    if isinstance(job, TransferJob):
        return f"{job.config.name}, {len(job.trainings)} networks, {job.checkpoint}"
    if isinstance(job, ShareJob):
        return f"{label(job.evaluation)}, share {job.number + 1} of {job.of}"
    what = ", ".join(job.config.attacks) if isinstance(job, EvaluateJob) else "loss surface"
    if isinstance(job, EvaluateJob) and job.config.sweep_steps:
        what = "PGD of several lengths"
    return f"{label(job.training)}, {job.checkpoint}: {what}"


def key(job: Job) -> str:
    """Return 16 hexadecimal digits of all that the job depends on."""
    own: list[object] = [job.kind, configs.digest(job.config), *(key(each) for each in job.needs)]
    own += [getattr(job, name, None) for name in ("checkpoint", "parameters")]
    own += [job.number, job.of, key(job.evaluation)] if isinstance(job, ShareJob) else []
    return hashlib.sha256(json.dumps(own).encode()).hexdigest()[:16]


def in_order(jobs: list[Job]) -> list[Job]:
    """Return the jobs and all that they need, each once, needed ones first."""
    found: dict[Job, None] = {}

    def add(job: Job) -> None:
        for each in job.needs:
            add(each)
        found.setdefault(job)

    for job in jobs:
        add(job)
    return list(found)
