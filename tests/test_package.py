from __future__ import annotations

import ast
from pathlib import Path

import advrush


def imported_for_types() -> dict[str, str]:
    """Return the module of each name that type checkers see in the package."""
    tree = ast.parse(Path(advrush.__file__).read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    return {alias.asname or alias.name: str(node.module) for node in imports for alias in node.names}


def test_names_for_type_checkers_are_those_at_run_time_and_from_the_same_modules() -> None:
    assert imported_for_types() == {name: f"advrush.{home}" for name, home in advrush._HOMES.items()}


def test_every_public_name_can_be_imported() -> None:
    assert advrush.__all__
    assert all(getattr(advrush, name).__name__ == name for name in advrush.__all__)
