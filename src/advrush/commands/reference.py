"""The pages of the documentation that are made from the code: every command, every public name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import advrush
from advrush.commands.help import HELP, help_text

WIDTH = 76
"""Characters of a line that fit the column of a page."""


def command_page() -> str:
    """Return the page of all commands: what each does, its options with types and defaults, examples."""
    parts = [
        "# Commands",
        "`advrush COMMAND --help` prints the same. Options stand before or behind the targets; `--json` prints the "
        "results as JSON; a mistake in the input ends with code 2.",
    ]  # fmt: skip
    for name in HELP:
        parts.append(f"## {name}\n\n```text\n{help_text(name, name.split()[1:], width=WIDTH)}```")
    return "\n\n".join(parts) + "\n"


def name_page() -> str:
    """Return the page of all public names: mkdocstrings fills in signatures and descriptions."""
    parts = [
        "# Python",
        "`from advrush import NAME`. Names are imported when they are first used: `import advrush` costs nothing.",
    ]  # fmt: skip
    for group, names in _groups().items():
        parts.append(f"## advrush.{group}")
        parts += [f"### {name}\n\n::: {_place(name)}" for name in names]
    return "\n\n".join(parts) + "\n"


def _groups() -> Mapping[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for name in sorted(advrush.__all__, key=str.lower):
        module = str(getattr(advrush, name).__module__)
        groups.setdefault(module.split(".")[1], []).append(name)
    return dict(sorted(groups.items()))


def _place(name: str) -> str:
    found = getattr(advrush, name)
    return f"{found.__module__}.{found.__qualname__}"


PAGES: dict[str, Callable[[], str]] = {"cli.md": command_page, "api.md": name_page}
"""Name of the page to what makes it."""
