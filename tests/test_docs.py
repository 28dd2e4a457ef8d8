"""The documentation is true: its Python blocks run, its commands are commands with the options that they name.

A block that needs what a test does not have says so on the page: ```python title="not run by the tests, needs ...".
"""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path
from typing import NamedTuple

import pytest

from advrush.attacks.registry import MAKERS
from advrush.cli import main
from advrush.commands import VERBS
from advrush.commands.help import HELP, help_text
from advrush.report.sections import compose
from advrush.space import SPACES

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted((ROOT / "docs").glob("*.md"))
FENCE = re.compile(r"^```(\w*)[ ]*([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A fenced block: its language, what stands behind it, the line that it begins on, and its text."""

    language: str
    info: str
    line: int
    text: str


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [Block(m[1], m[2].strip(), text[: m.start()].count("\n") + 2, m[3]) for m in FENCE.finditer(text)]


WITH_PYTHON = [page for page in PAGES if any(block.language == "python" for block in blocks(page))]


@pytest.mark.parametrize("page", WITH_PYTHON, ids=lambda page: page.stem)
def test_python_blocks_run_in_order(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(compose, "CHAPTERS", compose.CHAPTERS)
    before = [(table, dict(table)) for table in (SPACES, MAKERS)]
    names: dict[str, object] = {"__name__": "page"}
    try:
        for block in blocks(page):
            if block.language == "python" and not block.info:
                code = "\n" * (block.line - 1) + block.text  # errors name the line of the page
                exec(compile(code, str(page), "exec", dont_inherit=True), names)
    finally:
        for table, kept in before:
            table.clear()
            table.update(kept)


@pytest.mark.parametrize("page", WITH_PYTHON, ids=lambda page: page.stem)
def test_blocks_that_do_not_run_say_why_and_are_python(page: Path) -> None:
    for block in blocks(page):
        if block.language == "python" and block.info:
            reason = re.fullmatch(r'title="not run by the tests, needs (\w[^"]{8,})"', block.info)
            assert reason, f"{page.name}:{block.line}: {block.info}"
            ast.parse(block.text)


def commands(page: Path) -> list[tuple[str, list[str]]]:
    """Return the calls of `advrush` in a page's blocks that are not Python: where, and the words behind the name."""
    found = []
    for block in blocks(page):
        if block.language in ("", "bash", "sh", "console", "shell"):
            text = block.text.replace("\\\n", " ")
            for line in text.splitlines():
                match = re.match(r"^(?:\$ )?(?:\w+=\S+ )*(?:advrush|(?:torchrun|python).* -m advrush\.cli) (.*)$", line)
                if match:
                    found.append((f"{page.name}: {line}", shlex.split(match[1], comments=True)))
    return found


CALLS = [call for page in [*PAGES, ROOT / "README.md"] for call in commands(page)]


@pytest.mark.parametrize(("where", "words"), CALLS, ids=[where[:60] for where, _ in CALLS])
def test_commands_of_the_pages_are_known_with_their_options(where: str, words: list[str]) -> None:
    verb, options = words[0], [word.partition("=")[0] for word in words[1:] if word.startswith("--")]
    assert verb in VERBS, where
    if options:
        page = help_text(verb, ["--help", *words[1:2]])
        known = set(re.findall(r"--[\w.-]+", page))
        assert verb in HELP and set(options) <= known, f"{where}: {set(options) - known}"
    recipe = words[1] if verb in ("search", "train") and len(words) > 1 else None
    if recipe and re.fullmatch(r"[a-z][\w-]*", recipe):
        assert (ROOT / "src/advrush/recipes" / verb / f"{recipe}.toml").is_file(), where


CHECKED = {
    "search": ["--print-config"],
    "train": ["--print-config"],
    "evaluate": ["--print-config"],
    "transfer": ["--print-config"],
    "analyze": ["--print-config"],
    "reproduce": ["--plan"],
    "runs": [],
    "list": [],
    "recipes": [],
}
"""Commands that can be run without data and runs, with what must stand behind them for that."""
RUN = r"runs/search/\S*"
REAL = [(where, words) for where, words in CALLS if words[0] in CHECKED]


@pytest.mark.parametrize(("where", "words"), REAL, ids=[where[:60] for where, _ in REAL])
def test_commands_of_the_pages_take_their_values(
    where: str, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = [*words, *(option for option in CHECKED[words[0]] if option not in words)]
    while "--data-dir" in words:  # the data of the reader's
        at = words.index("--data-dir")
        words = words[:at] + words[at + 2 :]
    others = {"train": {RUN: "ADVRUSH"}, "reproduce": {"^all$": "table1", "^small$": "smoke"}}  # no run; less to count
    for old, new in others.get(words[0], {}).items():
        words = [re.sub(old, new, word) for word in words]
    assert main(words) == 0, where


def test_the_files_that_an_extension_costs_are_there() -> None:
    text = (ROOT / "docs/extending.md").read_text(encoding="utf-8")
    rows = [line for line in text[text.index("## Files that") :].splitlines() if line.startswith("| a")]
    places = {place for row in rows for place in re.findall(r"`([\w/]+(?:/|\.py))`", row)}
    assert len(rows) == 8 and len(places) >= 12
    assert [place for place in sorted(places) if not (ROOT / "src/advrush" / place).exists()] == []


def test_there_are_blocks_and_commands_to_check() -> None:
    assert len(WITH_PYTHON) >= 7
    assert len(CALLS) >= 20
    assert {words[0] for _, words in CALLS} >= {"search", "train", "evaluate", "transfer", "analyze", "report"}
