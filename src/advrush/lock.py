"""The lock on a run directory, which keeps a second process out and tells it who holds it."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import platform
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO

from advrush.errors import RunError

try:
    import fcntl
except ImportError:  # Windows: runs can be read and written there, but a second process is not kept out
    fcntl = None  # type: ignore[assignment]

LOCK = ".lock"
"""Name of the file in a run directory."""
WITHOUT_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
"""Errors of a file system that has no locks: the run is written without one."""


@dataclass
class Lock:
    """A lock that is held until `release` or the end of the process; the file says who holds it, and since when."""

    file: IO[bytes]

    @classmethod
    def acquire(cls, folder: Path) -> Lock:
        """Take the lock of a run directory. Raises RunError, naming its holder, if another process has it."""
        file = (folder / LOCK).open("ab+", buffering=0)
        try:
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in WITHOUT_LOCKS:
                holder = _holder(file)
                file.close()
                raise RunError(
                    f"{folder}: another process is working on this run{holder}; wait for it or stop it"
                ) from None
        _rewrite(file, json.dumps({"host": platform.node(), "process": os.getpid(), "since": _now()}))
        return cls(file)

    def release(self) -> None:
        """Give the lock back, and leave no name of a machine in the run directory."""
        _rewrite(self.file, "")
        self.file.close()


def _rewrite(file: IO[bytes], text: str) -> None:
    with contextlib.suppress(OSError):  # the lock holds without these words, on a full disk for one
        file.truncate(0)  # the file is open for appending: what is written goes to its end
        file.write(text.encode())


def _holder(file: IO[bytes]) -> str:
    """Return " (process 12 on HOST, since TIME)", or nothing where the file does not tell."""
    try:
        file.seek(0)
        known = json.loads(file.read())
        return f" (process {known['process']} on {known['host']}, since {known['since']})"
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _now() -> str:
    return datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
