"""`advrush completion bash|zsh|fish`: scripts that ask this program what may come next."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from advrush.commands import VERBS
from advrush.commands.fields import Field
from advrush.commands.help import HELP
from advrush.config import did_you_mean
from advrush.errors import ConfigError

SCRIPTS = {
    "bash": """_advrush() {
  local IFS=$'\\n'
  COMPREPLY=($(advrush completion next -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -o bashdefault -F _advrush advrush
""",
    "zsh": """_advrush() {
  local -a found
  found=(${(f)"$(advrush completion next -- "${(@)words[2,CURRENT]}" 2>/dev/null)"})
  compadd -a found
  _files
}
compdef _advrush advrush
""",
    "fish": """function __advrush_next
  set -l words (commandline -opc) (commandline -ct)
  advrush completion next -- $words[2..-1] 2>/dev/null
end
complete -c advrush -a '(__advrush_next)'
""",
}
"""For each shell a script that completes with the words that `advrush completion next -- WORDS` prints."""


def completion(arguments: list[str]) -> None:
    """Print a shell's script, or (as the scripts ask) the words that may come next."""
    what = arguments[0] if arguments else "nothing"
    if what == "next":
        sys.stdout.write("".join(f"{word}\n" for word in candidates(arguments[2:])))
        return
    if what not in SCRIPTS or len(arguments) != 1:
        got = f"{' '.join(arguments) or what}{did_you_mean(what, SCRIPTS)}"
        raise ConfigError(f"completion: got {got}; expected one of {', '.join(SCRIPTS)}")
    sys.stdout.write(SCRIPTS[what])


def candidates(words: Sequence[str]) -> list[str]:
    """Return what the last of the words, perhaps begun, may become; nothing where it is a file."""
    *before, begun = words or [""]
    return sorted(word for word in _candidates(before, begun) if word.startswith(begun))


def _candidates(before: Sequence[str], begun: str) -> list[str]:
    if not before:
        return list(VERBS)
    name = before[0]
    key = f"{name} {before[1]}" if len(before) > 1 and f"{name} {before[1]}" in HELP else name
    if key not in HELP:
        return []
    fields = {field.option: field for field in HELP[key].fields()}
    if begun.startswith("-"):
        return [*fields, "--help"]
    if before[-1] in fields:
        return _values(fields[before[-1]])
    return _targets(name, before[1:])


def _values(field: Field) -> list[str]:
    from advrush.commands.lists import DATA, attacks

    if field.name in ("attacks", "attack"):
        return list(attacks())
    if field.name == "data.dataset":
        return list(DATA)
    return list(field.choices)


def _targets(name: str, words: Sequence[str]) -> list[str]:
    """Return what a command takes first: recipes, kinds of analysis, lists, shells."""
    from advrush.commands.lists import LISTS
    from advrush.commands.options import recipes

    if words:
        return []
    stages = {"search": ("search",), "train": ("train",), "recipes": ("search", "train", "evaluate")}
    if name in stages:
        return [recipe for stage in stages[name] for recipe in recipes(stage)]
    if name == "analyze":
        return [key.partition(" ")[2] for key in HELP if key.startswith("analyze ")]
    return {"list": list(LISTS), "completion": list(SCRIPTS)}.get(name, [])
