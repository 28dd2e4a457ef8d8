"""The examples run."""

import importlib.util
from dataclasses import replace
from pathlib import Path
from types import ModuleType

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
