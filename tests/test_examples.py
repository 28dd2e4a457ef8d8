"""The examples run, notebooks cell by cell."""

import ast
import importlib.util
import json
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from advrush.searching import Regularized, derive, search

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_search_with_a_regularizer_of_ones_own(tmp_path: Path) -> None:
    module = example("own_regularizer")
    config = replace(module.CONFIG, channels=2, epochs=1, warmup_epochs=0, batch_size=16)
    config = replace(config, data=replace(config.data, train_examples=64))
    objective = Regularized(module.gradient_norm, strength=0.1)
    run = search(config, objective=objective, runs_dir=tmp_path, device="cpu", display=False)
    assert run.metrics()[0]["curvature"] > 0
    assert set(derive(run).cells()) == {"normal", "reduce"}


def test_every_example_is_run_by_a_test() -> None:
    tests = Path(__file__).read_text()
    assert [path.stem for path in EXAMPLES.glob("*.py") if f'example("{path.stem}")' not in tests] == []


def run_notebook(path: Path) -> tuple[dict[str, Any], list[Any]]:
    """Run a notebook's code cells in order in one fresh namespace; return it, and what the cells show at their ends."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    assert (notebook["nbformat"], notebook["metadata"]["language_info"]["name"]) == (4, "python")
    names: dict[str, Any] = {"__name__": "__main__"}
    shown = []
    for number, cell in enumerate(notebook["cells"]):
        if cell["cell_type"] != "code":
            continue
        assert cell["outputs"] == [], "outputs are not kept: they grow old"
        tree = ast.parse("".join(cell["source"]), f"{path.name}, cell {number}")
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, f"{path.name}, cell {number}", "exec", dont_inherit=True), names)
        if isinstance(last, ast.Expr):
            shown.append(eval(compile(ast.Expression(last.value), f"{path.name}, cell {number}", "eval"), names))
    return names, shown


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.ipynb")), ids=lambda path: path.stem)
def test_notebooks_run_from_top_to_bottom(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    state = torch.random.get_rng_state()
    try:
        names, shown = run_notebook(path)
    finally:
        torch.random.set_rng_state(state)
    pictured = [value for value in shown if hasattr(value, "_repr_html_")]
    assert all("<" in value._repr_html_() for value in pictured)
    assert len(pictured) >= 3
    if path.stem == "robustness":
        assert names["robust"].robust_acc > names["result"].robust_acc
