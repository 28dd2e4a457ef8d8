"""Run jobs on a Ray cluster: each job one task, its result in the one store of runs that all nodes see."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from advrush.errors import AdvrushError, ConfigError
from advrush.paper.execute import JobOutcomes, Store
from advrush.paper.jobs import Job

RETRIES = 4
"""How often a task is begun again whose worker or node died; it goes on from the run's last whole epoch or batch."""


def run_on_cluster(
    jobs: list[Job],
    store: Store,
    *,
    address: str = "auto",
    cpus: float = 1,
    gpus: float = 0,
    before: Callable[[int, int, Job], None] = lambda *_: None,
) -> JobOutcomes:
    """Run each job that has no result as a task of a Ray cluster, as soon as those that it needs are done.

    Args:
        jobs: needed ones first, as `Plan.jobs` gives them.
        store: `runs_dir` (and `data_dir`) must be one folder that all nodes see under the same path.
        address: of a running cluster; `auto`: one that runs here, or else a new one of this machine alone.
        cpus: processor cores of a task; torch uses as many threads.
        gpus: GPUs of a task; with a fraction several tasks share one.
        before: called with number, total and job when a job is handed over.

    Raises ConfigError where Ray is not installed or the cluster cannot be reached; RunError as `run_all`.
    """
    ray = _ray()
    store.check_data(jobs)
    _connect(ray, address)
    # by value, so that the workers need not import this module under the same path
    task = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=RETRIES)(_work)
    where = (str(store.runs_dir.resolve()), _plain(store.data_dir), store.device, max(1, int(cpus)))
    outcome, waiting = JobOutcomes(), list(jobs)
    running: dict[Any, Job] = {}
    done: set[Job] = set()
    while waiting or running:
        for job in list(waiting):
            if store.finished(job) is not None:
                done.add(job)
                outcome.done.append(job)
            elif any(each in outcome.failed for each in job.needs):
                outcome.failed[job] = "a run that it needs failed"
            elif all(each in done for each in job.needs):
                before(len(jobs) - len(waiting) + 1, len(jobs), job)
                running[task.remote(job, *where)] = job
            else:
                continue
            waiting.remove(job)
        if not running:
            continue
        (ready,), _ = ray.wait(list(running), num_returns=1)
        job = running.pop(ready)
        _take(ray, ready, job, store, outcome)
        if job not in outcome.failed:
            done.add(job)
    return outcome


def _take(ray: Any, ready: Any, job: Job, store: Store, outcome: JobOutcomes) -> None:
    """Record a task's result, or why there is none."""
    try:
        found = ray.get(ready)
    except ray.exceptions.RayError as error:
        outcome.failed[job] = f"lost on the cluster: {type(error).__name__}: {str(error).splitlines()[0]}"
        return
    if "error" in found:
        outcome.failed[job] = found["error"]
        return
    store.record(job, found)
    outcome.done.append(job)


def _work(job: Job, runs_dir: str, data_dir: str | None, device: str, threads: int) -> dict[str, Any]:
    """Run one job in a worker; return its entry of the store's index, or the error as text."""
    torch.set_num_threads(threads)
    try:
        return Store(Path(runs_dir), data_dir, device, display=False).entry(job)
    except AdvrushError as error:
        return {"error": str(error)}


def _ray() -> Any:
    try:
        import ray
    except ImportError:
        raise ConfigError("cluster: Ray is not installed; install it with `pip install 'advrush[cluster]'`") from None
    return ray


def _connect(ray: Any, address: str) -> None:
    """Join the cluster, or begin one of this machine where none runs and the address is `auto`."""
    if ray.is_initialized():
        return
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        ray.init(address=address, **quiet)
    except ConnectionError:
        if address != "auto":
            raise ConfigError(
                f"cluster: no Ray cluster answers at {address!r}; start one with `ray start --head`"
            ) from None
        ray.init(include_dashboard=False, **quiet)


def _plain(data_dir: Path | str | None) -> str | None:
    if data_dir is None:
        return None
    return "hub" if str(data_dir) == "hub" else str(Path(data_dir).resolve())
