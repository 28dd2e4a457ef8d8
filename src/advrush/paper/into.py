"""Tables of a reproduction inside a Markdown file of one's own, between two comments that say which.

<!-- reproduce: table1 adv_clean adv_pgd20 -->
(what stands here is replaced)
<!-- /reproduce -->
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from advrush.atomic_write import write_atomically
from advrush.config import check
from advrush.errors import ConfigError
from advrush.paper.artifacts import Artifact, Column, paper
from advrush.paper.render import column_head
from advrush.paper.tables import number_text
from advrush.reading.gate import reading
from advrush.reading.text import read_bytes

BLOCK = re.compile(r"(<!-- reproduce: ([^\n]*?) -->\n).*?(<!-- /reproduce -->)", re.DOTALL)


def fill_in(path: Path, results: Mapping[str, Any]) -> int:
    """Replace the marked tables of a Markdown file by those of `results`; return how many.

    `results` is what `Reproduction.to_dict` gives, or the content of a results.json. A table that is not among them
    stays as it is. Raises ConfigError where the file cannot be read, has no marked table, or names a table or column
    that does not exist.
    """
    what = "a Markdown file"
    content = read_bytes(path, what)
    with reading(path, what):
        text = content.decode()
    check(BLOCK.search(text) is not None, "into", str(path), "a file with <!-- reproduce: table1 --> and its end")
    filled, count = filled_in(text, results)
    if count:
        write_atomically(path, filled)
    return count


def filled_in(text: str, results: Mapping[str, Any]) -> tuple[str, int]:
    """Return the text with its marked tables replaced, and how many were."""
    tables = {table["artifact"]: table for table in results["tables"]}
    count = 0

    def block(match: re.Match[str]) -> str:
        nonlocal count
        name, *columns = match[2].split() or [""]
        known = paper().artifacts
        if name not in known:
            raise ConfigError(f"into: got {name!r} in <!-- reproduce: ... -->; expected one of {', '.join(known)}")
        artifact = paper().artifact(name)
        for column in columns:
            keys = [each.key for each in artifact.columns]
            check(column in keys, f"into: column of {name}", column, f"one of {', '.join(keys)}")
        if name not in tables:
            return match[0]
        count += 1
        return f"{match[1]}{_table(artifact, columns, tables[name], results)}{match[3]}"

    return BLOCK.sub(block, text), count


def _table(artifact: Artifact, columns: list[str], table: Mapping[str, Any], results: Mapping[str, Any]) -> str:
    """Return the table with the paper's and the own number of each column side by side, and what they are of."""
    shown = [each for each in artifact.columns if not columns or each.key in columns]
    cells = {(cell["row"], cell["column"]): cell for cell in table["cells"]}
    labels = {row.key: row.label for row in artifact.rows}
    rows = list(dict.fromkeys(cell["row"] for cell in table["cells"]))
    lines = ["| | " + " | ".join(f"{column_head(each)}, paper | ours" for each in shown) + " |"]
    lines.append("|---|" + "---:|---:|" * len(shown))
    for row in rows:
        texts = [text for each in shown for text in _pair(each, cells.get((row, each.key), {}))]
        lines.append(f"| {labels.get(row, row)} | " + " | ".join(texts) + " |")
    return "\n".join([*lines, "", _about(results)]) + "\n"


def _pair(column: Column, cell: Mapping[str, Any]) -> tuple[str, str]:
    """Return what the paper prints, and the mean and deviation of the first checkpoint that was measured."""
    printed, ours = cell.get("paper"), next(iter((cell.get("ours") or {}).values()), None)
    said = None if printed is None else (printed, None)
    return number_text(column, said), number_text(column, None if ours is None else (ours["mean"], ours["sd"]))


def _about(results: Mapping[str, Any]) -> str:
    about, seeds = results["environment"], results["seeds"]
    over = f"mean ± standard deviation over {len(seeds)} seeds, of one seed where there is no ±"
    several = over if len(seeds) > 1 else "one seed"
    place = about["gpu"] or f"{about['cpus']} CPU cores"
    return (
        f"Scale `{results['scale']}`: {results['about']}; checkpoint {results['checkpoints'][0]}; {several}. "
        f"advrush {about['advrush']}, PyTorch {about['torch']}, {place}. Empty: not run."
    )
