"""An evaluation that is attacked in shares, each by itself, equals one in a single process."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import linear_digits
from advrush.data import DataConfig
from advrush.errors import ConfigError, RunError
from advrush.evaluation import EvaluateConfig, evaluate, evaluate_share, join_shares
from advrush.run import Run

DATA = DataConfig(dataset="digits", test_examples=23)
CONFIG = EvaluateConfig(
    data=DATA, attacks=("pgd20", "apgd_duo", "pgd20_to_3"), eps=0.03, batch_size=4,
    sweep_steps=(3, 9), sweep_eps=(0.01, 0.05),
)  # fmt: skip
COSTS = ("seconds", "forwards", "backwards")
"""What depends on the clock, and on which examples share a batch."""


def plain(value: Any) -> Any:
    """Return a result without its costs."""
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items() if key not in COSTS}
    return [plain(each) for each in value] if isinstance(value, list) else value


def shared(where: Path, config: EvaluateConfig, shares: int) -> Run:
    for number in reversed(range(shares)):
        evaluate_share(linear_digits.make(), config, number=number, shares=shares, runs_dir=where)
    return join_shares(linear_digits.make(), config, shares=shares, runs_dir=where)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return evaluate(linear_digits.make(), CONFIG, runs_dir=tmp_path_factory.mktemp("runs"), display=False)


@pytest.mark.parametrize("shares", [3, 30])
def test_shares_joined_equal_one_process(alone: Run, tmp_path: Path, shares: int) -> None:
    found = shared(tmp_path, CONFIG, shares)
    for name in ("flags.safetensors", "targeted.safetensors", "images.safetensors"):
        expected, given = alone.load_tensors(name), found.load_tensors(name)
        assert expected.keys() == given.keys()
        assert all(torch.equal(expected[key], given[key]) for key in expected), name
    assert found.read_json("broken_by.json") == alone.read_json("broken_by.json")
    assert plain(found.result()) == plain(alone.result())
    costs = [run.result()["attacks"][1]["forwards"] for run in (found, alone)]
    assert costs[0] == pytest.approx(costs[1], rel=0.01)
    assert found.path.name == alone.path.name  # whoever asks for this evaluation finds it
    assert not list((tmp_path / "shares").glob("*"))


def test_smallest_perturbations_in_shares_equal_one_process(tmp_path: Path) -> None:
    config = EvaluateConfig(data=DATA, attacks=("deepfool",), norm="L2", eps=0.5, batch_size=4)
    alone = evaluate(linear_digits.make(), config, runs_dir=tmp_path / "alone", display=False)
    found = shared(tmp_path / "shared", config, 3)
    expected, given = alone.load_tensors("norms.safetensors"), found.load_tensors("norms.safetensors")
    assert expected.keys() == given.keys() and all(torch.equal(expected[key], given[key]) for key in expected)
    assert plain(found.result()) == plain(alone.result())


def test_a_share_goes_on_where_it_was_stopped(alone: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved, kept = Run.save_state, []

    def stop_at_the_third(run: Run, state: Any, name: str = "last.pt") -> None:
        saved(run, state, name)
        kept.append(name)
        if len(kept) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(Run, "save_state", stop_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        evaluate_share(linear_digits.make(), CONFIG, number=0, shares=2, runs_dir=tmp_path)
    found = shared(tmp_path, CONFIG, 2)
    assert plain(found.result()) == plain(alone.result())


def test_a_share_that_is_missing_is_named(tmp_path: Path) -> None:
    evaluate_share(linear_digits.make(), CONFIG, number=0, shares=2, runs_dir=tmp_path)
    with pytest.raises(RunError, match=r"2-of-2.*has not finished"):
        join_shares(linear_digits.make(), CONFIG, shares=2, runs_dir=tmp_path)
    assert not list((tmp_path / "evaluate").glob("*"))


def test_a_share_of_other_numbers_is_none(tmp_path: Path) -> None:
    evaluate_share(linear_digits.make(), CONFIG, number=0, shares=3, runs_dir=tmp_path)
    with pytest.raises(RunError, match=r"1-of-2.*has not finished"):
        join_shares(linear_digits.make(), CONFIG, shares=2, runs_dir=tmp_path)


@pytest.mark.parametrize(("changes", "named"), [({"order": "batch"}, "order"), ({"save_examples": True}, "save_ex")])
def test_what_cannot_be_shared_is_refused(tmp_path: Path, changes: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        evaluate_share(linear_digits.make(), replace(CONFIG, **changes), number=0, shares=2, runs_dir=tmp_path)


def test_a_number_out_of_range_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"number: got 2; expected 0 to 1"):
        evaluate_share(linear_digits.make(), CONFIG, number=2, shares=2, runs_dir=tmp_path)
