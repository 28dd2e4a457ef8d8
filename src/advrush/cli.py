"""The command line: verb -> configuration -> one function call; nothing else."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version

from rich.console import Console
from rich.markup import escape

from advrush.config import did_you_mean
from advrush.errors import AdvrushError

Verb = Callable[[list[str]], None]


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
        Console(stderr=True, highlight=False, soft_wrap=True, emoji=False).print(
            f"[bold red]error:[/] {escape(str(error))}"
        )
        return 2
    except KeyboardInterrupt:
        Console(stderr=True, emoji=False).print(
            "\ninterrupted: nothing that was finished is lost; the same command goes on from there", soft_wrap=True
        )
        return 130


def _run(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        _help()
        return 0
    if arguments[0] in ("-V", "--version"):
        Console(highlight=False, emoji=False).print(f"advrush {version('advrush')}")
        return 0
    from advrush.commands import VERBS

    name, rest = arguments[0], arguments[1:]
    if name not in VERBS:
        hint = did_you_mean(name, VERBS) or f"; known: {', '.join(VERBS)}"
        raise AdvrushError(f"unknown command '{name}'{hint}")
    VERBS[name](rest)
    return 0


SUMMARIES = {
    "demo": "search, derive, train, attack on real images that come with the install; writes report.html",
    "search": "search an architecture: advrush search RECIPE [--field value ...]",
    "train": "train a network: advrush train RECIPE --arch NAME|GENOTYPE|RUN [--field value ...]",
    "evaluate": "attack a network: advrush evaluate RUN|FILE|python:MODULE:FACTORY --attacks fgsm,pgd20",
    "transfer": "attack each network with the examples of each: advrush transfer RUN RUN [RUN ...]",
    "analyze": "see why: advrush analyze architecture|curvature|landscape|path RUN [RUN ...]",
    "import": "read a checkpoint of the published code: advrush import FILE --arch ADVRUSH --out FILE",
    "export": "write a network for other programs: advrush export RUN --out model.onnx",
    "report": "write one report.html of finished runs: advrush report RUN [RUN ...]",
    "show": "show a genotype or a run, compare two, draw: advrush show NAME|FILE|RUN [--out cells.pdf]",
    "runs": "list the runs: advrush runs [DIRECTORY]",
}
"""What each command does, in one line."""


def _help() -> None:
    from rich.table import Table

    console = Console(highlight=False, emoji=False)
    console.print("\n[bold]advrush[/]: search, train, attack and analyze adversarially robust architectures\n")
    table = Table(box=None, padding=(0, 2), show_header=False)
    for name, summary in SUMMARIES.items():
        table.add_row(f"[bold]{name}[/]", escape(summary))
    console.print(table)
    console.print(
        "\nRecipes are [bold]paper[/], [bold]small[/], [bold]smoke[/] and others, or a TOML file of your own."
    )
    console.print("Every field of a recipe is an option: [bold]advrush search small --help[/] explains them.\n")


if __name__ == "__main__":
    sys.exit(main())
