"""Find runs by their digest: `3f0a1b2c` for `runs/train/small-3f0a1b2c`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from advrush.errors import RunError

RUNS_DIR = "--runs-dir"


def runs_of(texts: Sequence[str], options: Sequence[str]) -> list[str]:
    """Return `run_of` of each text, in the folder that `--runs-dir` names and in `runs`."""
    folders = [value for word, value in pairwise(options) if word.replace("_", "-") == RUNS_DIR]
    folders += [word.partition("=")[2] for word in options if word.replace("_", "-").startswith(f"{RUNS_DIR}=")]
    found = []
    for text in texts:
        places = (run_of(text, folder) for folder in (*folders, "runs"))
        found.append(next((place for place in places if place != text), text))
    return found


def run_of(text: str, runs_dir: Path | str = "runs") -> str:
    """Return the path of the run whose digest `text` is, or begins; any other text as it is.

    At least four hexadecimal digits are needed. Raises RunError where several runs begin so.
    """
    if not re.fullmatch(r"[0-9a-f]{4,8}", text) or Path(text).exists():
        return text
    pattern = f"*-{text}{'?' * (8 - len(text))}"
    found = sorted(path.parent for path in Path(runs_dir).glob(f"**/{pattern}/config.toml"))
    if len(found) > 1:
        raise RunError(f"{text}: {len(found)} runs begin so ({', '.join(map(str, found[:3]))}); give more digits")
    return str(found[0]) if found else text
