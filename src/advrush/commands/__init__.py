"""The commands, by name; each module turns arguments into one call of the library."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import NamedTuple


class Verb(NamedTuple):
    """A command: where its function is, and what it does."""

    function: str
    """Module and function; the module is imported when the command is run, not before."""
    summary: str
    """One line of at most 65 characters: with the name before it, a terminal's 80."""


VERBS = {
    "demo": Verb("demo.demo", "the whole chain in minutes, on images that come with the install"),
    "search": Verb("search.search", "search an architecture: search RECIPE [--field value ...]"),
    "train": Verb("train.train", "train a network: train RECIPE --arch NAME|GENOTYPE|RUN"),
    "evaluate": Verb("evaluate.evaluate", "attack networks: evaluate RUN|FILE|... --attacks fgsm,pgd20"),
    "transfer": Verb("transfer.transfer", "attack each network with the examples of each: transfer RUN RUN"),
    "analyze": Verb("analyze.analyze", "see why: analyze architecture|curvature|landscape|path RUN"),
    "benchmark": Verb("benchmark.benchmark", "judge searches by a table of known accuracies: benchmark TABLE"),
    "reproduce": Verb("reproduce.reproduce_command", "tables and figures of the paper: reproduce table1 ...|all"),
    "import": Verb("exchange.import_checkpoint", "read a published checkpoint: import FILE --arch NAME"),
    "export": Verb("exchange.export_network", "write a network for other programs: export RUN --out model.onnx"),
    "leaderboard": Verb("leaderboard.leaderboard", "rank evaluations: leaderboard RUN|FOLDER ... --out FOLDER"),
    "report": Verb("inspect.report", "write one page of finished runs: report RUN|FOLDER ..."),
    "show": Verb("inspect.show", "print a genotype or a run, compare two, draw: show NAME|FILE|RUN"),
    "runs": Verb("inspect.runs", "list the runs, the newest first: runs [FOLDER]"),
    "recipes": Verb("lists.list_recipes", "list the recipes or print one: recipes [NAME]"),
    "list": Verb("lists.list_names", "list known names: list architectures|attacks|data|spaces"),
    "completion": Verb("completion.completion", "complete words in a shell: completion bash|zsh|fish"),
}


def command(name: str) -> Callable[[list[str]], None]:
    """Return the function of a command, which takes the words behind its name. Raises KeyError for an unknown one."""
    module, _, function = VERBS[name].function.partition(".")
    found: Callable[[list[str]], None] = getattr(import_module(f"advrush.commands.{module}"), function)
    return found


__all__ = ["VERBS", "Verb", "command"]
