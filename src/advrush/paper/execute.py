"""Run jobs that have no result yet; know which have one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from advrush.analysis import analyze_landscape
from advrush.atomic_write import write_atomically
from advrush.data import DataConfig
from advrush.errors import AdvrushError, RunError
from advrush.evaluation import transfer
from advrush.evaluation.evaluate_stage import evaluate
from advrush.evaluation.shares import evaluate_share, join_shares
from advrush.models.weights.saved import CHECKPOINTS
from advrush.paper.fit import fitted_channels
from advrush.paper.jobs import EvaluateJob, Job, LandscapeJob, SearchJob, ShareJob, TrainJob, TransferJob, key, label
from advrush.reading.gate import reading
from advrush.reading.text import read_bytes
from advrush.run import Run
from advrush.searching import derive, search
from advrush.training import train

INDEX = "reproduce.json"
"""Which run holds a job's result, beside the folders of runs."""


@dataclass
class Store:
    """The run directories of a reproduction: where jobs run, and where their results are found again."""

    runs_dir: Path
    data_dir: Path | str | None = None
    device: str = "auto"
    display: bool = True
    _index: dict[str, dict[str, Any]] = field(default_factory=dict, repr=False)
    _checksums: dict[DataConfig, str] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self.reload()

    def reload(self) -> None:
        """Read the index again: other processes may have added to it."""
        path = self.runs_dir / INDEX
        if not path.is_file():
            return
        what = "an index of runs (remove it: finished runs are found again)"
        content = read_bytes(path, what)
        with reading(path, what):
            self._index = {k: {"run": str(v["run"]), "data": v["data"]} for k, v in json.loads(content).items()}

    def finished(self, job: Job | None) -> Run | None:
        """Return the finished run of a job, None where there is none (or it was removed), and of no job."""
        entry = None if job is None else self._index.get(key(job))
        if entry is None:
            return None
        run = Run(self.runs_dir / entry["run"])
        return run if run.done else None

    def place(self, run: Run) -> str:
        """Return where a run lies in the store."""
        return str(run.path.relative_to(self.runs_dir))

    def data_of(self, config: DataConfig) -> Path | str | None:
        """Return where a data set lies: in a folder of its name in `data_dir`, else in `data_dir` itself."""
        if self.data_dir is None or str(self.data_dir) == "hub":
            return self.data_dir
        own = Path(self.data_dir) / config.dataset
        return own if own.exists() else self.data_dir

    def checksum(self, config: DataConfig) -> str:
        """Return the checksum of a job's images."""
        if config not in self._checksums:
            self._checksums[config] = config.load(self.data_of(config)).checksum
        return self._checksums[config]

    def compute(self, job: Job) -> Run:
        """Run a job whose needed runs are finished, or go on with it; return the finished run.

        Raises AdvrushError as the stages do, and RunError where a run that is needed is missing.
        """
        entry = self.entry(job)
        self.record(job, entry)
        return Run(self.runs_dir / entry["run"])

    def noted(self, job: Job) -> dict[str, Any]:
        """Return what `record` noted of a finished job."""
        return dict(self._index[key(job)])

    def entry(self, job: Job, *, shares: int = 0) -> dict[str, Any]:
        """Run a job as `compute` does; return what `record` is to note of it, in the process that keeps the index.

        `shares`: an evaluation whose examples so many finished ShareJobs have attacked is joined from them.
        """
        run = self._joined(job, shares) if shares and isinstance(job, EvaluateJob) else self._stage(job)
        return {"run": self.place(run), "data": self.checksum(job.config.data)}

    def record(self, job: Job, entry: Mapping[str, Any]) -> None:
        """Note which run holds a job's result."""
        self.reload()
        self._index[key(job)] = dict(entry)
        write_atomically(self.runs_dir / INDEX, json.dumps(self._index, indent=1) + "\n")

    def check_data(self, jobs: Iterable[Job]) -> None:
        """Raise RunError where a finished job was measured on other images than those in `data_dir` now."""
        for job in jobs:
            entry = self._index.get(key(job))
            if entry is None or self.finished(job) is None:
                continue
            now = self.checksum(job.config.data)
            if entry["data"] != now:
                raise RunError(
                    f"{self.runs_dir / entry['run']}: measured on other images (checksum {entry['data']}, now {now}); "
                    "choose another --runs-dir for these images"
                )

    def _need(self, job: Job) -> Run:
        run = self.finished(job)
        if run is None:
            raise RunError(f"{label(job)}: not finished, so that what needs it cannot run")
        return run

    def _place(self, job: Job) -> dict[str, Any]:
        return {"data_dir": self.data_of(job.config.data), "runs_dir": self.runs_dir, "device": self.device}

    def _joined(self, job: EvaluateJob, shares: int) -> Run:
        target = self._checkpoint(job.training, job.checkpoint)
        return join_shares(target, job.config, shares=shares, **self._place(job))

    def _stage(self, job: Job) -> Run:
        where = self._place(job) | {"display": self.display}
        match job:
            case SearchJob():
                return search(job.config, **where)
            case TrainJob():
                return train(self._filled(job), **where)
            case EvaluateJob():
                return evaluate(self._checkpoint(job.training, job.checkpoint), job.config, **where)
            case ShareJob(whole, number, of):
                target = self._checkpoint(whole.training, whole.checkpoint)
                return evaluate_share(target, job.config, number=number, shares=of, **self._place(job))
            case TransferJob():
                return transfer([self._checkpoint(each, job.checkpoint) for each in job.trainings], job.config, **where)
            case LandscapeJob():
                return analyze_landscape(self._checkpoint(job.training, job.checkpoint), job.config, **where)

    def _checkpoint(self, training: TrainJob, checkpoint: str) -> Path:
        path = self._need(training).path / CHECKPOINTS[checkpoint]
        if not path.is_file():
            raise RunError(f"{path.parent}: the training kept no checkpoint {checkpoint!r} (its rate never dropped)")
        return path

    def _filled(self, job: TrainJob) -> Any:
        """Return the training's configuration with the architecture that its search found, and channels that fit."""
        config = job.config
        if job.search is not None:
            config = replace(config, arch=derive(self._need(job.search).path).to_json())
        if job.parameters is not None and config.channels is None:
            config = replace(config, channels=fitted_channels(config.arch, config.layers, job.parameters))
        return config


@dataclass
class JobOutcomes:
    """What became of the jobs of a plan."""

    done: list[Job] = field(default_factory=list)
    failed: dict[Job, str] = field(default_factory=dict)


def run_all(jobs: list[Job], store: Store, *, before: Callable[[int, int, Job], None] = lambda *_: None) -> JobOutcomes:
    """Run each job that has no result, in order; one that fails does not stop the others, only those that need it.

    `before(number, total, job)` is called before each job that is run. Raises RunError where finished jobs are of
    other images; DataError of a data set that is not there is a failure of the jobs on it.
    """
    store.check_data(jobs)
    outcome = JobOutcomes()
    for number, job in enumerate(jobs, 1):
        if store.finished(job) is not None:
            outcome.done.append(job)
            continue
        if any(each in outcome.failed for each in job.needs):
            outcome.failed[job] = "a run that it needs failed"
            continue
        before(number, len(jobs), job)
        try:
            store.compute(job)
            outcome.done.append(job)
        except AdvrushError as error:
            outcome.failed[job] = str(error)
    return outcome
