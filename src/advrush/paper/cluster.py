"""Run jobs on a Ray cluster: each job one task, or several that share its examples; results come to the one store."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from advrush.config import check
from advrush.errors import AdvrushError, ConfigError
from advrush.paper.costs import factors, hours
from advrush.paper.exchange import EVERY, FINISHED, UNFINISHED, Exchange, kept_up, places
from advrush.paper.execute import JobOutcomes, Store
from advrush.paper.jobs import EvaluateJob, Job, ShareJob, key

RETRIES = 4
"""How often a task is begun again whose worker or node died; it goes on from the run's last whole epoch or batch."""
SHARE_HOURS = 2 / 60
"""A share of an evaluation takes about as long or longer: a network and images are loaded for each."""


@dataclass(frozen=True)
class Place:
    """Where a task finds runs and data, and what it may use."""

    runs_dir: str
    """The folder that all nodes see; with `exchange`, of no meaning to the nodes."""
    data_dir: str | None
    device: str
    threads: int
    exchange: str | None
    """URL where runs are exchanged by nodes that see no common folder."""
    every: float
    """Seconds between two looks at an unfinished run, whose changes are then handed to the exchange."""


def run_on_cluster(
    jobs: list[Job],
    store: Store,
    *,
    address: str = "auto",
    cpus: float = 1,
    gpus: float = 0,
    shares: int = 0,
    exchange: str | None = None,
    every: float = EVERY,
    before: Callable[[int, int, Job], None] = lambda *_: None,
) -> JobOutcomes:
    """Run each job that has no result as a task of a Ray cluster, as soon as those that it needs are done.

    Args:
        jobs: needed ones first, as `Plan.jobs` gives them.
        store: where results come home; without `exchange` its `runs_dir` must be one folder that all nodes see under
            the same path, as `data_dir` must always.
        address: of a running cluster; `auto`: one that runs here, or else a new one of this machine alone.
        cpus: processor cores of a task; torch uses as many threads.
        gpus: GPUs of a task; with a fraction several tasks share one.
        shares: tasks among which the examples of an evaluation are shared out; 0: as many as the cluster runs at once,
            if each has some minutes to do.
        exchange: URL (any that fsspec knows) where nodes exchange runs that see no common folder.
        every: seconds of work that a lost node loses at most, beside the epoch or batch at hand, with `exchange`.
        before: called with number, total and job when a job is handed over.

    Raises ConfigError where Ray is not installed, the cluster cannot be reached or nothing can be written to the
    exchange; RunError as `run_all`.
    """
    check(shares >= 0, "cluster_shares", shares, "a whole number >= 0")
    between = None if exchange is None else Exchange(exchange)
    if between is not None:
        between.check()
    ray = _ray()
    store.check_data(jobs)
    _connect(ray, address)
    # by value, so that the workers need not import this module under the same path
    task = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=RETRIES)(_work)
    data_dir = _plain(store.data_dir)
    place = Place(str(store.runs_dir.resolve()), data_dir, store.device, max(1, int(cpus)), exchange, every)
    slots = max(1, int(ray.cluster_resources().get("CPU", 1) // max(cpus, 1e-9)))
    tasks = _shared(jobs, store, slots, shares)
    outcome, waiting = JobOutcomes(), list(tasks)
    running: dict[Any, Job] = {}
    done: set[Job] = set()
    while waiting or running:
        for job in list(waiting):
            parts = tasks[job]
            if store.finished(job) is not None:
                done.add(job)
                outcome.done.append(job)
            elif any(each in outcome.failed for each in (*job.needs, *parts)):
                outcome.failed[job] = "a run that it needs failed"
            elif all(each in done for each in (*job.needs, *parts)):
                before(len(tasks) - len(waiting) + 1, len(tasks), job)
                _offer(store, between, job)
                running[task.remote(job, len(parts), place)] = job
            else:
                continue
            waiting.remove(job)
        if not running:
            continue
        (ready,), _ = ray.wait(list(running), num_returns=1)
        job = running.pop(ready)
        _take(ray, ready, job, store, outcome, between)
        if job not in outcome.failed:
            done.add(job)
    return outcome


def _shared(jobs: list[Job], store: Store, slots: int, shares: int) -> dict[Job, tuple[ShareJob, ...]]:
    """Return the jobs with the shares that each waits for; the shares stand before it."""
    speed = factors([job for job in jobs if store.finished(job) is not None], store)
    tasks: dict[Job, tuple[ShareJob, ...]] = {}
    for job in jobs:
        parts: tuple[ShareJob, ...] = ()
        if isinstance(job, EvaluateJob) and job.can_be_shared and store.finished(job) is None:
            wanted = shares or min(slots, int(hours(job, speed) / SHARE_HOURS))
            parts = tuple(ShareJob(job, number, wanted) for number in range(wanted)) if wanted > 1 else ()
        tasks.update(dict.fromkeys(parts, ()))
        tasks[job] = parts
    return tasks


def _offer(store: Store, exchange: Exchange | None, job: Job) -> None:
    """Hand the finished runs that a job needs to the exchange, where they are not there yet."""
    if exchange is None:
        return
    for each in _all_needs(job):
        run = store.finished(each)
        if run is not None and exchange.entry(key(each)) is None:
            exchange.put(key(each), store.runs_dir, store.noted(each))


def _all_needs(job: Job) -> list[Job]:
    found = {each: None for need in job.needs for each in (*_all_needs(need), need)}
    return list(found)


def _take(ray: Any, ready: Any, job: Job, store: Store, outcome: JobOutcomes, exchange: Exchange | None) -> None:
    """Record a task's result, or why there is none."""
    try:
        found = ray.get(ready)
    except ray.exceptions.RayError as error:
        outcome.failed[job] = f"lost on the cluster: {type(error).__name__}: {str(error).splitlines()[0]}"
        return
    if "error" in found:
        outcome.failed[job] = found["error"]
    elif not isinstance(job, ShareJob):
        if exchange is not None:
            exchange.get(key(job), store.runs_dir)
        store.record(job, found)
        outcome.done.append(job)


def _work(job: Job, parts: int, place: Place) -> dict[str, Any]:
    """Run one job in a worker; return its entry of the store's index, or the error as text."""
    torch.set_num_threads(place.threads)
    try:
        if place.exchange is None:
            return Store(Path(place.runs_dir), place.data_dir, place.device, display=False).entry(job, shares=parts)
        with tempfile.TemporaryDirectory(prefix="advrush-") as folder:
            return _exchanged(job, parts, place, Path(folder), Exchange(place.exchange))
    except AdvrushError as error:
        return {"error": str(error)}


def _exchanged(job: Job, parts: int, place: Place, folder: Path, exchange: Exchange) -> dict[str, Any]:
    """Run a job in a folder of its own, with what it needs and has done so far from the exchange; hand on its run."""
    store = Store(folder, place.data_dir, place.device, display=False)
    shares = [ShareJob(job, number, parts) for number in range(parts)] if isinstance(job, EvaluateJob) else []
    for each in (*_all_needs(job), *shares):
        entry = exchange.get(key(each), folder)
        if entry is not None:
            store.record(each, entry)
    known = places(folder)
    exchange.get(key(job), folder, UNFINISHED)
    with kept_up(exchange, key(job), folder, known, every=place.every):
        entry = store.entry(job, shares=parts)
    exchange.put(key(job), folder, entry)
    exchange.drop(key(job))
    for each in shares:
        exchange.drop(key(each), FINISHED)
    return entry


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
