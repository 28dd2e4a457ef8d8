"""The frame of every stage: open and lock the run directory, let all processes take the same branch, close it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from advrush.errors import AdvrushError, RunError
from advrush.parallel import Parallel, together
from advrush.run import Run


@contextmanager
def stage(
    processes: Parallel,
    runs_dir: Path | str,
    kind: str,
    config: Any,
    *,
    name: str | None = None,
    identity: Mapping[str, Any] | None = None,
    data_dir: Path | str | None = None,
) -> Iterator[tuple[Run, bool]]:
    """Open the run directory of a configuration; give the run, and whether its work is still to be done.

    All processes take the same branch: rank 0 looks and its answer is every process's. The work itself goes inside;
    its last act is `run.finish`, by rank 0. On leaving, the processes wait for each other, so that the run is finished
    for all. A start that fails before anything is written leaves no folder.

    Args:
        processes: this process and the others of its job.
        runs_dir: where run directories go.
        kind: name of the stage, the folder in `runs_dir`.
        config: a frozen dataclass; its digest names the run.
        name: what stands in front of the digest; `config.name` unless given.
        identity: what the run is of besides its configuration (see `Run.open`).
        data_dir: where the data lie now, for what follows on the run.

    Raises RunError or ConfigError on every process where rank 0 cannot open the directory; RunError on those that are
    left where one of the processes ends.
    """
    with together(processes):
        run, refusal = None, None
        try:
            run = Run.open(
                Path(runs_dir),
                kind,
                name or config.name,
                config,
                writer=processes.is_main,
                identity=identity,
                data_dir=data_dir,
            )
        except AdvrushError as error:
            refusal = error
        refused = processes.broadcast(refusal is not None)  # or the others would wait for a process that has left
        if refusal is not None:
            raise refusal
        assert run is not None
        try:
            if refused:
                raise RunError(f"{run.path}: the first process cannot open it; its message says why")
            yield run, not processes.broadcast(run.done)
            processes.barrier()
        finally:
            run.close()
