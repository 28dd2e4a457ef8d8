"""A stage in a forked process that can be killed: at the nth thing it does to a file, or from outside."""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from advrush.errors import AdvrushError

WRITES = ("open", "os.rename", "os.remove", "os.mkdir", "os.truncate", "os.rmdir", "os.chmod")
"""What Python reports before it does it; `open` counts where it is for writing."""


@dataclass(frozen=True)
class Outcome:
    """How a process ended: exit status (2: refused in words), or the signal that ended it, and what it printed."""

    status: int
    signal: int
    output: str

    @property
    def escaped(self) -> bool:
        """Whether an error came out that is not one in words, or the process crashed of itself."""
        return self.status == 3 or self.signal in (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE)


def forked(
    call: Callable[[], Any], output: Path, *, folder: Path | None = None, at: int = 0, after: float | None = None,
    by: signal.Signals = signal.SIGKILL,
) -> Outcome:  # fmt: skip
    """Run a call in a child process and wait for it.

    Args:
        call: what to do; an AdvrushError or OSError ends the child with status 2, anything else with 3.
        output: file for what it prints.
        folder: where its writes are counted.
        at: the write before which the child kills itself, counted from 1 (0: none).
        after: seconds after which it gets the signal from outside.
        by: the signal.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        os._exit(_in_child(call, output, folder, at, by))
    if after is not None:
        time.sleep(after)
        os.kill(child, by)  # a child that has ended waits to be asked, so the number is still its own
    _, status = os.waitpid(child, 0)
    ended = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    return Outcome(os.WEXITSTATUS(status) if not ended else -1, ended, output.read_text(errors="replace"))


def _in_child(call: Callable[[], Any], output: Path, folder: Path | None, at: int, by: signal.Signals) -> int:
    words = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(words, 1)
    os.dup2(words, 2)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if folder is not None:
        _count_writes(folder, at, by)
    try:
        code = call()
        return code if isinstance(code, int) else 0
    except (AdvrushError, OSError) as error:
        os.write(2, f"refused: {error}\n".encode())
        return 2
    except KeyboardInterrupt:
        return 130
    except BaseException:
        os.write(2, traceback.format_exc().encode(errors="replace"))
        return 3


def _count_writes(folder: Path, at: int, by: signal.Signals) -> None:
    """Kill this process before its `at`-th write below `folder`; print a mark for each write."""
    count, inside, sync = 0, str(folder), os.fsync

    def note() -> None:
        nonlocal count
        count += 1
        os.write(2, b"write\n")
        if count == at:
            os.kill(os.getpid(), by)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event not in WRITES or not str(arguments[0]).startswith(inside):
            return
        if event != "open" or (isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")):
            note()

    def counted(handle: int) -> None:
        note()  # what is written is there, but not yet under its name
        sync(handle)

    sys.addaudithook(hook)
    os.fsync = counted
