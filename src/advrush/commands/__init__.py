"""The commands, by name; each module turns arguments into one call of the library."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

VERBS = {
    "demo": "demo.demo",
    "search": "search.search",
    "train": "train.train",
    "evaluate": "evaluate.evaluate",
    "transfer": "transfer.transfer",
    "analyze": "analyze.analyze",
    "benchmark": "benchmark.benchmark",
    "import": "exchange.import_checkpoint",
    "export": "exchange.export_network",
    "leaderboard": "leaderboard.leaderboard",
    "report": "inspect.report",
    "show": "inspect.show",
    "runs": "inspect.runs",
    "recipes": "lists.list_recipes",
    "list": "lists.list_names",
    "reproduce": "reproduce.reproduce_command",
    "completion": "completion.completion",
}
"""Where each command's function is: its module is imported when the command is run, not before."""


def command(name: str) -> Callable[[list[str]], None]:
    """Return the function of a command, which takes the words behind its name. Raises KeyError for an unknown one."""
    module, _, function = VERBS[name].partition(".")
    found: Callable[[list[str]], None] = getattr(import_module(f"advrush.commands.{module}"), function)
    return found


__all__ = ["VERBS", "command"]
