"""The command line: verb -> configuration -> one function call; nothing else."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version

from advrush.config import did_you_mean
from advrush.errors import AdvrushError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return 0, 2 for a mistake in the input, 130 after Ctrl-C."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        code = _run(arguments)
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # `advrush ... | head`: whoever read has enough
        with contextlib.suppress(AttributeError, OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the interpreter flushes once more at exit
        return 0
    except AdvrushError as error:
        _complain("error:", str(error))
        return 2
    except OSError as error:  # a file or folder that this user may not read or write, a full disk, a name too long
        place = f"{error.filename}: " if error.filename is not None else ""
        advice = "nothing that was finished is lost, and the same command goes on once that is mended"
        _complain("error:", f"{place}{error.strerror or error}; {advice}")
        return 2
    except KeyboardInterrupt:
        _complain("\ninterrupted:", "nothing that was finished is lost; the same command goes on from there")
        return 130


def _complain(subject: str, text: str) -> None:
    from rich.console import Console
    from rich.text import Text

    from advrush.progress import given_width, to_width
    from advrush.reading.text import printable

    console = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False, width=given_width())
    lines = to_width(f"{subject} {printable(text)}", console)
    console.print(Text.assemble((subject, "bold red"), lines.removeprefix(subject)))


def _run(arguments: list[str]) -> int:
    if not arguments or arguments in (["-h"], ["--help"], ["help"]):
        sys.stdout.write(overview())
        return 0
    if arguments[0] in ("-V", "--version"):
        sys.stdout.write(f"advrush {version('advrush')}\n")
        return 0
    from advrush.commands import VERBS, command
    from advrush.commands.help import help_text, wanted
    from advrush.commands.typed import checked

    name, rest = arguments[0], arguments[1:]
    if name == "help":
        name, rest = rest[0], ["--help", *rest[1:]]
    if name not in VERBS:
        hint = did_you_mean(name, VERBS) or f"; known: {', '.join(VERBS)}"
        raise AdvrushError(f"unknown command '{name}'{hint}")
    if wanted(name, rest):
        sys.stdout.write(help_text(name, rest))
        return 0
    words = checked(name, rest)
    command(name)(words)
    return 0


def overview() -> str:
    """Return the help of `advrush` alone."""
    from advrush.commands import VERBS

    width = max(map(len, VERBS))
    return "\n".join(
        (
            "advrush: search, train, attack and analyze adversarially robust architectures",
            "",
            *(f"  {name:<{width}}  {verb.summary}" for name, verb in VERBS.items()),
            "",
            "`advrush COMMAND --help` explains a command, its options and their defaults.",
            "Recipes are paper, small, smoke and others (`advrush recipes`), or a TOML file",
            "of your own; every field of a recipe is an option.",
            "",
        )
    )


if __name__ == "__main__":
    sys.exit(main())
