"""`advrush reproduce table1 ... | all --scale smoke|hour|small|paper`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from advrush.commands.options import words_and_options
from advrush.commands.output import print_json
from advrush.commands.train import architecture
from advrush.config import check
from advrush.errors import ConfigError, RunError
from advrush.models.build import canonical, display_name, is_known
from advrush.paper import JobOutcomes, Plan, Row, Store, paper, plan_of, read_scale, reproduce, write
from advrush.paper.costs import factors, hours, where
from advrush.paper.into import fill_in
from advrush.paper.jobs import Job, label
from advrush.paper.render import duration
from advrush.progress import plain_console
from advrush.searching.seeds import seeds_of


@dataclass(frozen=True)
class ReproduceOptions:
    """Where and how a reproduction runs."""

    scale: str = "smoke"
    """smoke, hour, small, paper, paper-105, or a TOML file of your own."""
    data_dir: Path | None = None
    """Folder of the data sets, each in a folder of its name or all in one."""
    runs_dir: Path = Path("runs")
    """Folder of the run directories: what is finished there is not run again."""
    out: Path | None = None
    """Folder of the tables and figures; RUNS_DIR/reproduce/SCALE unless given."""
    into: Path | None = None
    """Markdown file whose tables between <!-- reproduce: table1 --> and <!-- /reproduce --> are to be replaced."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    seeds: str = ""
    """Seeds in place of the scale's, as 0..3 or 0,2,5."""
    add: tuple[str, ...] = ()
    """Architectures to add to every table: names, genotypes, search runs."""
    rows: tuple[str, ...] = ()
    """Run these rows only (architectures, searches), as advrush,resnet18; the others' cells stay empty."""
    cluster: str | None = None
    """Run on a Ray cluster (extra `cluster`): its address, or auto: the one that runs here, else a new one."""
    cluster_cpus: float = 1
    """Processor cores of each run on the cluster."""
    cluster_gpus: float = 0
    """GPUs of each run on the cluster; a fraction shares one."""
    cluster_shares: int = 0
    """Tasks among which the examples of an evaluation are shared out; 0: by its estimated time."""
    cluster_store: str | None = None
    """URL (s3://, gs://, sftp://, ... as fsspec knows them) where nodes exchange runs that see no common folder."""
    plan: bool = False
    """Print the runs with their state and estimated hours, and stop."""
    render: bool = False
    """Write tables and figures of what is there, and run nothing."""
    quiet: bool = False
    """Print results only."""
    json: bool = False
    """Print the results as JSON, and nothing else, on standard output."""


def reproduce_command(arguments: list[str]) -> None:
    """Run what tables and figures lack; write them and print how much is there.

    Raises RunError at the end where runs failed: what could be done is done and written by then.
    """
    names, options = words_and_options(arguments, "reproduce", ReproduceOptions)
    if not names:
        raise ConfigError(f"reproduce: name tables or figures, or all; known: {', '.join(paper().artifacts)}")
    added = [row_of(text) for text in options.add]
    rows = [name for word in options.rows for name in word.split(",") if name]
    scale, seeds = read_scale(options.scale), seeds_of(options.seeds) if options.seeds else []
    if options.plan:
        _print_plan(plan_of(names, scale, added, seeds, rows), Store(options.runs_dir), as_json=options.json)
        return
    alone = options.cluster is None
    check(not (alone and options.cluster_store), "cluster_store", options.cluster_store, "none without --cluster")
    check(not (alone and options.cluster_shares), "cluster_shares", options.cluster_shares, "0 without --cluster")
    console = plain_console()
    shows = not (options.quiet or options.json)

    def before(number: int, total: int, job: Job) -> None:
        if shows:
            console.print(f"run {number} of {total}: {label(job)}")

    runner = _on_cluster(options, before) if options.cluster else None
    found = reproduce(
        names, scale, data_dir=options.data_dir, runs_dir=options.runs_dir, device=options.device,
        display=shows and console.is_terminal, added=added, seeds=seeds, rows=rows, compute=not options.render,
        before=before, runner=runner,
    )  # fmt: skip
    page = write(found, options.out or options.runs_dir / "reproduce" / scale.name)
    filled = 0 if options.into is None else fill_in(options.into, found.to_dict())
    if options.json:
        print_json(found.to_dict())
    else:
        for name, there, wanted in found.board():
            console.print(f"{name:<10} {there:>5} of {wanted:<5} {'complete' if there == wanted else ''}".rstrip())
        if found.plan.only:
            console.print(f"run were only the rows {', '.join(sorted(found.plan.only))}")
        console.print(f"tables and figures  {page}")
        if options.into is not None:
            console.print(f"{filled} table{'' if filled == 1 else 's'} written into {options.into}")
    if found.failures:
        name, why = next(iter(found.failures.items()))
        raise RunError(f"{len(found.failures)} runs failed; the first: {name}: {why}")


def _on_cluster(
    options: ReproduceOptions, before: Callable[[int, int, Job], None]
) -> Callable[[list[Job], Store], JobOutcomes]:
    from advrush.paper.cluster import run_on_cluster

    return partial(
        run_on_cluster, address=options.cluster or "auto", cpus=options.cluster_cpus, gpus=options.cluster_gpus,
        shares=options.cluster_shares, exchange=options.cluster_store, before=before,
    )  # fmt: skip


def row_of(text: str) -> Row:
    """Return the row of an architecture by name, genotype or search run. Raises ConfigError as `train --arch` does."""
    arch = architecture(text)
    if is_known(arch):
        return Row(canonical(arch), display_name(arch), arch=canonical(arch))
    short = hashlib.sha256(arch.encode()).hexdigest()[:6]
    path = Path(text)
    name = path.resolve().name if path.exists() else f"genotype {short}"
    return Row(f"genotype-{short}", name, arch=arch)


def _print_plan(plan: Plan, store: Store, *, as_json: bool) -> None:
    jobs = plan.jobs()
    done = [job for job in jobs if store.finished(job) is not None]
    speed = factors(done, store)
    rows = [(job, job in set(done), hours(job, speed)) for job in jobs]
    left = sum(cost for _, there, cost in rows if not there)
    if as_json:
        told = [{"kind": j.kind, "name": label(j), "done": there, "hours": round(cost, 4)} for j, there, cost in rows]
        print_json({"runs": told, "hours_left": round(left, 4), "hours_from": where(speed)})
        return
    console = plain_console()
    for job, there, cost in rows:
        console.print(f"{'done' if there else '':<5}{job.kind:<10}{duration(cost):>9}  {label(job)}")
    console.print(f"{len(jobs)} runs, {len(done)} done; {duration(left)} left, {where(speed)}")
