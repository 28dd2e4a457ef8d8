"""Processes of the tests: forked from a server that has imported torch and advrush once, so that each starts at once.

`started` runs a function of a test module in a process that can be killed; `job` runs it in the processes of a job, as
a cluster starts them. A function that is to be found there is one of a module, not a local one.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import socket
from collections.abc import Callable, Mapping
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(
    ["advrush.analysis", "advrush.evaluation", "advrush.searching", "advrush.training", "advrush.commands.options"]
)


def started(call: Callable[..., Any], *arguments: Any, output: Path | None = None, **environment: str) -> BaseProcess:
    """Start a call in a new process; what it returns is its exit status where that is a number.

    Args:
        call: a function of a module.
        arguments: its arguments.
        output: file for what it prints.
        environment: variables that are set for it.
    """
    process = SERVER.Process(target=_in_child, args=(call, arguments, output, environment))
    process.start()
    return process


def ended(process: BaseProcess, timeout: float = 240) -> int:
    """Wait for a process; return its exit status, minus the signal's number where one ended it."""
    process.join(timeout)
    if process.exitcode is None:
        process.kill()
        raise TimeoutError(f"a process of the test has not ended in {timeout:.0f} s")
    return process.exitcode


def killed(process: BaseProcess) -> int:
    """Kill a process by SIGKILL and return its exit status: -9 unless it had ended before."""
    process.kill()
    return ended(process)


def job(count: int, call: Callable[..., Any], *arguments: Any, output: Path | None = None) -> list[BaseProcess]:
    """Start the processes of a job, as a cluster does without torchrun; process 1 prints to `output`.1, and so on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": str(count)}
    return [
        started(
            call, *arguments, output=output and output.with_name(f"{output.name}.{rank}"), **common,
            RANK=str(rank), LOCAL_RANK=str(rank),
        )
        for rank in range(count)
    ]  # fmt: skip


def _in_child(
    call: Callable[..., Any], arguments: tuple[Any, ...], output: Path | None, environment: Mapping[str, str]
) -> None:
    import torch

    os.environ.update(environment)
    torch.set_num_threads(1)
    with contextlib.ExitStack() as stack:
        if output is not None:
            file = stack.enter_context(output.open("w"))
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        code = call(*arguments)
    if isinstance(code, int):
        raise SystemExit(code)
