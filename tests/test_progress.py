"""Bars where they can be drawn: a terminal, a notebook; lines alone elsewhere."""

import io
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from rich.console import Console

from advrush.cli import main
from advrush.progress import Display, plain_console


class Handle:
    def __init__(self, shown: list[str]) -> None:
        self.shown = shown

    def update(self, html: str) -> None:
        self.shown.append(html)


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a notebook is given to show, in place of IPython."""
    shown: list[str] = []
    module: Any = ModuleType("IPython.display")

    def display(html: str, *, display_id: bool) -> Handle:
        shown.append(html)
        return Handle(shown)

    module.HTML, module.display = str, display
    monkeypatch.setitem(sys.modules, "IPython", ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    return shown


def test_a_notebook_has_one_bar_that_ends_full(shown: list[str]) -> None:
    console = Console(force_jupyter=True, force_terminal=False)
    with Display("train <x>", epochs=2, console=console) as display:
        for epoch in range(2):
            assert list(display.steps("abc", total=3, epoch=epoch)) == ["a", "b", "c"]
    assert shown[-1].startswith("train &lt;x&gt; epoch 2/2") and shown[-1].endswith("6 of 6")
    assert 2 <= len(shown) <= 4


def test_files_and_quiet_callers_have_none(shown: list[str]) -> None:
    for console, show in ((Console(force_terminal=False), True), (Console(force_jupyter=True), False)):
        with Display("evaluate", console=console, show=show) as display:
            display.at(1, 5)
    assert shown == []


def test_what_was_done_before_a_resume_counts_for_no_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    display = Display("evaluate", console=Console(force_terminal=False))
    progress = display._progress
    monkeypatch.setattr(progress, "get_time", lambda: now[0])
    progress.start_task(display._task)
    display.at(900, 1000)
    for done in (910, 920, 930):
        now[0] += 2.0
        display.at(done, 1000)
    task = progress.tasks[0]
    assert task.speed == pytest.approx(5.0)
    assert task.time_remaining == pytest.approx(14, abs=1)


def test_a_closed_pipe_is_left_to_the_command_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stdout", Closed())
    with pytest.raises(BrokenPipeError):
        plain_console().print("a line")
    monkeypatch.chdir(tmp_path)
    assert main(["runs"]) == 0
