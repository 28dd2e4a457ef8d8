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

    Console(stderr=True, highlight=False, soft_wrap=True, emoji=False).print(
        Text.assemble((subject, "bold red"), " ", text)
    )


def _run(arguments: list[str]) -> int:
    if not arguments or arguments in (["-h"], ["--help"], ["help"]):
        sys.stdout.write(overview())
        return 0
    if arguments[0] in ("-V", "--version"):
        sys.stdout.write(f"advrush {version('advrush')}\n")
        return 0
    from advrush.commands import VERBS, command
    from advrush.commands.help import help_text, wanted

    name, rest = arguments[0], arguments[1:]
    if name == "help":
        name, rest = rest[0], ["--help", *rest[1:]]
    if name not in VERBS:
        hint = did_you_mean(name, VERBS) or f"; known: {', '.join(VERBS)}"
        raise AdvrushError(f"unknown command '{name}'{hint}")
    if wanted(name, rest):
        sys.stdout.write(help_text(name, rest))
        return 0
    command(name)(rest)
    return 0


SUMMARIES = {
    "demo": "search, derive, train, attack on real images that come with the install; writes report.html",
    "search": "search an architecture: advrush search RECIPE [--field value ...]",
    "train": "train a network: advrush train RECIPE --arch NAME|GENOTYPE|RUN [--field value ...]",
    "evaluate": "attack a network: advrush evaluate RUN|FILE|python:MODULE:FACTORY --attacks fgsm,pgd20",
    "transfer": "attack each network with the examples of each: advrush transfer RUN RUN [RUN ...]",
    "analyze": "see why: advrush analyze architecture|curvature|landscape|path RUN [RUN ...]",
    "benchmark": "judge searches by known accuracies: advrush benchmark TABLE.csv --measure COLUMN",
    "reproduce": "tables and figures of the paper: advrush reproduce table1 ...|all --scale smoke|small|paper",
    "import": "read a checkpoint of the published code: advrush import FILE --arch ADVRUSH --out FILE",
    "export": "write a network for other programs: advrush export RUN --out model.onnx",
    "leaderboard": "rank evaluations: advrush leaderboard RUN|FOLDER ... --out FOLDER",
    "report": "write one report.html of finished runs: advrush report RUN [RUN ...]",
    "show": "show a genotype or a run, compare two, draw: advrush show NAME|FILE|RUN [--out cells.pdf]",
    "runs": "list the runs, the newest first: advrush runs [FOLDER]",
    "recipes": "list the recipes or print one: advrush recipes [NAME]",
    "list": "list known names: advrush list architectures|attacks|data|spaces",
    "completion": "complete commands and options in a shell: advrush completion bash|zsh|fish",
}
"""What each command does, in one line."""


def overview() -> str:
    """Return the help of `advrush` alone."""
    width = max(map(len, SUMMARIES))
    return "\n".join(
        (
            "advrush: search, train, attack and analyze adversarially robust architectures",
            "",
            *(f"  {name:<{width}}  {summary}" for name, summary in SUMMARIES.items()),
            "",
            "Recipes are paper, small, smoke and others (`advrush recipes`), or a TOML file of your own.",
            "Every field of a recipe is an option: `advrush search small --help` explains them.",
            "",
        )
    )


if __name__ == "__main__":
    sys.exit(main())
