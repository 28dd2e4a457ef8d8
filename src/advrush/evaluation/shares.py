"""An evaluation in shares: each process attacks some of the examples by itself, and what all found is joined.

Unlike the processes of `torchrun`, shares need not run at the same time, nor reach each other: each leaves its record
in a run directory of its own, and may be begun again by itself.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch import nn

from advrush import parallel
from advrush.attacks import Ledger
from advrush.config import check
from advrush.errors import RunError
from advrush.evaluation.config import EvaluateConfig
from advrush.evaluation.evaluate_stage import evaluate_subject, subject_of
from advrush.evaluation.progress import Progress
from advrush.evaluation.targets import Target
from advrush.run import Run
from advrush.stage import stage

FOLDER = "shares"
"""Folder of the shares' run directories in `runs_dir`."""
STATE = "share.pt"


def evaluate_share(
    target: str | os.PathLike[str] | nn.Module | Target,
    config: EvaluateConfig,
    *,
    number: int,
    shares: int,
    data_dir: Path | str | None = None,
    runs_dir: Path | str = "runs",
    device: str = "auto",
) -> Run:
    """Attack one share of the test images; return its finished run, for `join_shares`.

    Interrupted, it goes on at its last batch, as `evaluate` does.

    Args:
        target: the network, as for `evaluate`.
        config: what to do; order `example`, so that random numbers do not depend on the number of shares, and without
            `save_examples`.
        number: which share, from 0.
        shares: how many there are.
        data_dir: where the data set lies.
        runs_dir: where run directories go; shares lie in its folder `shares`.
        device: auto, cpu, cuda or cuda:N.

    Raises ConfigError for a number out of range or a configuration that cannot be shared.
    """
    check(0 <= number < shares, "number", number, f"0 to {shares - 1}")
    check_shared(config)
    subject = subject_of(target, config, data_dir)
    name = _name(subject.config, number, shares)
    writer = parallel.Parallel(0, 1, parallel.setup(device).device)
    alone = parallel.Share(number, shares, writer.device)
    with stage(writer, runs_dir, FOLDER, subject.config, name=name, identity=subject.identity, data_dir=data_dir) as (
        run,
        todo,
    ):
        if todo:
            progress = subject.attacked(run, STATE, alone)
            run.save_state({"epoch": 0, "progress": progress.state_dict()}, STATE)
            run.finish({"share": number, "of": shares, "images": len(subject.dataset.test)})
    return run


def join_shares(
    target: str | os.PathLike[str] | nn.Module | Target,
    config: EvaluateConfig,
    *,
    shares: int,
    data_dir: Path | str | None = None,
    runs_dir: Path | str = "runs",
    device: str = "auto",
    display: bool = False,
) -> Run:
    """Join the finished shares of an evaluation to its run, equal to that of `evaluate` in one process; return it.

    The shares' run directories are removed afterwards. Arguments as of `evaluate_share`. Raises RunError where a share
    has not finished, ConfigError for a configuration that cannot be shared.
    """
    check_shared(config)
    subject = subject_of(target, config, data_dir)
    names = [_name(subject.config, number, shares) for number in range(shares)]
    runs = [Run.open(Path(runs_dir), FOLDER, name, subject.config, writer=False) for name in names]
    run = Run.open(
        Path(runs_dir), "evaluate", subject.config.name, subject.config, identity=subject.identity, data_dir=data_dir
    )
    try:
        if not run.done:
            progress = joined(_progress(each, len(subject.dataset.test)) for each in runs)
            run.save_state({"epoch": 0, "progress": progress.state_dict()})
    finally:
        run.close()
    processes = parallel.setup(device)
    found = evaluate_subject(subject, processes, data_dir=data_dir, runs_dir=runs_dir, display=display)
    for each in runs:
        shutil.rmtree(each.path, ignore_errors=True)
    return found


def check_shared(config: EvaluateConfig) -> None:
    """Raise ConfigError where an evaluation cannot be shared."""
    check(config.order == "example", "order", config.order, "example, in shares")
    check(not config.save_examples, "save_examples", config.save_examples, "no, in shares")


def joined(parts: Iterable[Progress]) -> Progress:
    """Return the progress of a whole evaluation from the finished ones of its shares.

    Raises RunError where they do not cover all examples.
    """
    shares = list(parts)
    clean = shares[0].clean
    if clean is None or any(part.clean is None or not torch.equal(part.clean, clean) for part in shares):
        raise RunError(
            "the shares of this evaluation differ in what is right without an attack (were they computed on different "
            "kinds of processors?); evaluate in one share"
        )
    attacks: dict[str, list[Ledger]] = {}
    for part in shares:
        for name, ledger in part.attacks.items():
            attacks.setdefault(name, []).append(ledger)
    curves = {name: [part.sweeps[name] for part in shares if name in part.sweeps] for name in _names(shares)}
    sweeps = {name: torch.stack(flags).amax(dim=0) for name, flags in curves.items()}
    return Progress(clean, {name: Ledger.join(ledgers, clean) for name, ledgers in attacks.items()}, sweeps)


def _names(shares: Sequence[Progress]) -> list[str]:
    return list({name: None for part in shares for name in part.sweeps})


def _progress(run: Run, examples: int) -> Progress:
    if not run.done:
        raise RunError(f"{run.path}: this share has not finished")
    state = run.load_state(STATE, writer=False)
    return Progress.load(None if state is None else state.get("progress"), examples, run.path / STATE)


def _name(config: EvaluateConfig, number: int, shares: int) -> str:
    return f"{config.name}-{number + 1}-of-{shares}"
