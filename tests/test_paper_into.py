"""Tables inside a Markdown file: replaced by what was measured, and refused where they name what does not exist."""

import json
from pathlib import Path
from typing import Any

import pytest

from advrush.errors import ConfigError
from advrush.paper.into import fill_in, filled_in

ROOT = Path(__file__).parents[1]
RESULTS: dict[str, Any] = {
    "scale": "seeds", "about": "small", "seeds": [0, 1], "checkpoints": ["drop"],
    "environment": {"advrush": "1", "torch": "2", "gpu": None, "cpus": 2},
    "tables": [{
        "artifact": "table1",
        "cells": [
            {"row": "advrush", "column": "adv_clean", "paper": 87.3, "ours": {"drop": {"mean": 61.44, "sd": 2.16}}},
            {"row": "advrush", "column": "adv_aa", "paper": 50.05, "ours": {}},
            {"row": "genotype-1", "column": "adv_clean", "paper": None, "ours": {"drop": {"mean": 60.0, "sd": None}}},
        ],
    }],
}  # fmt: skip
MARKED = "before\n<!-- reproduce: table1 adv_clean adv_aa -->\nold\n<!-- /reproduce -->\nafter\n"


def test_the_marked_table_is_replaced_and_the_rest_kept(tmp_path: Path) -> None:
    path = tmp_path / "readme.md"
    path.write_text(MARKED)
    assert fill_in(path, RESULTS) == 1
    text = path.read_text()
    assert text.startswith("before\n<!-- reproduce: table1") and text.endswith("<!-- /reproduce -->\nafter\n")
    assert "| AdvRush | 87.30 | 61.44 ± 2.16 | 50.05 |  |" in text
    assert "| genotype-1 |  | 60.00 |  |  |" in text
    assert "old" not in text and "over 2 seeds" in text
    assert filled_in(text, RESULTS) == (text, 1)


def test_a_table_that_was_not_made_stays(tmp_path: Path) -> None:
    text = MARKED.replace("table1 adv_clean adv_aa", "table2")
    assert filled_in(text, RESULTS) == (text, 0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nothing marked", "<!-- reproduce: table1 -->"),
        (MARKED.replace("table1", "table9"), "table9.*expected one of table1"),
        (MARKED.replace("adv_aa", "aa"), "'aa'.*adv_clean"),
    ],
)
def test_what_does_not_exist_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "readme.md"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        fill_in(path, RESULTS)
    assert path.read_text() == text


def test_the_table_of_the_readme_is_what_was_measured() -> None:
    text = (ROOT / "README.md").read_text()
    results = json.loads((ROOT / "docs/results/reproduction/results.json").read_text())
    assert filled_in(text, results) == (text, 1)
