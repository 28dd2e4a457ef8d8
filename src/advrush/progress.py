"""Progress on the screen: a bar with rate and time left on a terminal, one line an epoch elsewhere."""

from __future__ import annotations

import datetime
import os
import re
import textwrap
import time
from collections.abc import Iterable, Iterator
from html import escape
from types import TracebackType
from typing import Any, Self, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

T = TypeVar("T")


def plain_console(*, wrap: bool = False) -> Console:
    """Return a console that prints names and paths as they are: no markup, no emoji codes, no colored numbers.

    Lines are broken at the terminal's width only with `wrap`, so that a path can be copied.
    """
    return _Console(highlight=False, soft_wrap=not wrap, markup=False, emoji=False, width=given_width())


def given_width() -> int | None:
    """Return 80 where the variable COLUMNS holds 0 or another number that is no width; else None: it is found out."""
    return 80 if os.environ.get("COLUMNS", "").isdigit() and int(os.environ["COLUMNS"]) < 1 else None


class _Console(Console):
    """A console that leaves a closed pipe to the command line, where Rich would end the program with code 1."""

    def on_broken_pipe(self) -> None:
        """Raise BrokenPipeError."""
        raise BrokenPipeError


def to_width(text: str, console: Console) -> str:
    """Return a line folded at a terminal's width; as it is for files and other programs."""
    return folded(text, console.width) if console.is_terminal else text


def folded(text: str, width: int, *, indent: int = 8) -> str:
    """Return each line folded between words, never within one or before a unit; what is continued is indented."""

    def wrapped(line: str) -> str:
        held = re.sub(r"(?<=\d) (?=(s|min|h)\b)", "\xa0", line)
        inner = " " * indent
        parts = textwrap.wrap(held, width, subsequent_indent=inner, break_long_words=False, break_on_hyphens=False)
        return "\n".join(parts).replace("\xa0", " ")

    return "\n".join(wrapped(line) if len(line) > width else line for line in text.split("\n"))


def seconds_text(value: float) -> str:
    """Return 8.2 s or 34 s."""
    return f"{value:.1f} s" if value < 9.95 else f"{value:.0f} s"


class _Rate(ProgressColumn):
    """Steps a second over the recent past (rich averages over its window)."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        shown = "--" if speed is None else f"{speed:.2f}" if speed < 100 else f"{speed:,.0f}"
        return Text(f"{shown} it/s", style="progress.data.speed", no_wrap=True)


class _NotebookBar:
    """A bar in a notebook's output, drawn anew at most four times a second."""

    def __init__(self) -> None:
        self._handle: Any = None
        self._drawn = 0.0

    def draw(self, task: Task, *, last: bool = False) -> None:
        """Show where a task is."""
        now = time.monotonic()
        if task.total is None or (now - self._drawn < 0.25 and not last):
            return
        from IPython.display import HTML, display

        self._drawn = now
        left = task.time_remaining
        rest = "" if left is None or last else f", {datetime.timedelta(seconds=round(left))} left"
        shown = HTML(
            f'{escape(task.description)} <progress max="{task.total:g}" value="{task.completed:g}"></progress> '
            f"{task.completed:,.0f} of {task.total:,.0f}{rest}"
        )
        if self._handle is None:
            self._handle = display(shown, display_id=True)
        else:
            self._handle.update(shown)


class Display:
    """Show one stage: `steps` for the bar inside an epoch, `line` for what an epoch gave.

    On a terminal and in a notebook a live bar carries the time left over all epochs; elsewhere there are only lines.
    With `show=False` (other ranks, quiet callers) nothing is printed at all.
    """

    def __init__(self, title: str, *, epochs: int = 1, show: bool = True, console: Console | None = None) -> None:
        self.title, self.epochs, self.show = title, epochs, show
        self.console = console or plain_console()
        self._live = show and self.console.is_terminal
        self._notebook = _NotebookBar() if show and self.console.is_jupyter else None
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            _Rate(),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True),
            console=self.console,
            disable=not self._live,
        )
        self._task = self._progress.add_task(title, total=None)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()
        self._draw(last=True)

    def _draw(self, *, last: bool = False) -> None:
        if self._notebook is not None:
            self._notebook.draw(self._progress.tasks[self._task], last=last)

    def steps(self, iterable: Iterable[T], *, total: int, epoch: int = 0) -> Iterator[T]:
        """Pass the items through and move the bar; `total` is the number of steps of one epoch."""
        done = epoch * total
        name = self.title if self.epochs == 1 else f"{self.title} epoch {epoch + 1}/{self.epochs}"
        self._progress.update(self._task, total=self.epochs * total, completed=done, description=name)
        for item in iterable:
            yield item
            self._progress.advance(self._task)
            self._draw()

    def at(self, done: int, total: int) -> None:
        """Move the bar to a place; the first call tells where a resumed stage begins, and counts for no rate."""
        self._progress.update(self._task, total=total, completed=done)
        self._draw()

    def line(self, text: str) -> None:
        """Print one line above the bar, on a terminal folded between words at its width."""
        if self.show:
            self.console.print(to_width(text, self.console), markup=False)
