"""Evaluations that are killed, shared among processes, or swept end with the flags of a plain one."""

import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import linear_digits
from advrush.attacks import PGD
from advrush.cli import main
from advrush.data import DataConfig
from advrush.errors import ConfigError
from advrush.evaluation import EvaluateConfig, evaluate
from advrush.run import Run
from processes import ended, job, killed, started

DATA = DataConfig(dataset="digits", test_examples=12)
CONFIG = EvaluateConfig(data=DATA, attacks=("pgd20", "autoattack"), eps=0.03, batch_size=6)
OPTIONS = ["--data.dataset", "digits",
            "--data.test-examples", "12", "--attacks", "pgd20", "autoattack", "--eps", "0.03",
           "--batch-size", "6", "--device", "cpu"]  # fmt: skip


def evaluated(where: Path) -> int:
    """Run the command; return its exit status."""
    return main(["evaluate", "python:linear_digits:make", *OPTIONS, "--runs-dir", str(where)])


def only_run(where: Path) -> Run:
    (path,) = (where / "evaluate").glob("*")
    return Run.at(path)


def flags(run: Run) -> dict[str, torch.Tensor]:
    return load_file(run.path / "flags.safetensors")


def same(first: Run, second: Run) -> bool:
    a, b = flags(first), flags(second)
    broken = [(run.path / "broken_by.json").read_text() for run in (first, second)]
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a) and broken[0] == broken[1]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Run:
    where = tmp_path_factory.mktemp("runs")
    assert evaluated(where) == 0
    return only_run(where)


def test_attacks_leave_some_examples_and_break_some(undisturbed: Run) -> None:
    found = flags(undisturbed)
    assert found["clean"].sum() > found["pgd20"].sum() >= found["autoattack"].sum() > 0


def test_killed_in_its_attacks_it_ends_like_one_left_alone(undisturbed: Run, tmp_path: Path) -> None:
    state = tmp_path / "evaluate" / undisturbed.path.name / "last.pt"
    for attack, number in (("apgd_t", 1), ("square", 3)):
        process = started(evaluated, tmp_path, output=tmp_path / "output")
        reached, deadline = False, time.monotonic() + 200
        while not reached and process.is_alive() and time.monotonic() < deadline:
            time.sleep(0.005)
            if state.is_file():
                progress = torch.load(state, weights_only=True)["progress"]
                ensemble = progress["attacks"].get("autoattack")
                reached = ensemble is not None and int(ensemble["position"][0]) == number
        killed(process)
        assert reached, f"the evaluation ended before it was seen in {attack}: {(tmp_path / 'output').read_text()}"
        assert not (state.parent / "result.json").exists()
    assert evaluated(tmp_path) == 0
    assert same(only_run(tmp_path), undisturbed)


def test_two_processes_find_what_one_does(undisturbed: Run, tmp_path: Path) -> None:
    assert [ended(process) for process in job(2, evaluated, tmp_path, output=tmp_path / "output")] == [0, 0]
    shared = only_run(tmp_path)
    assert same(shared, undisturbed)
    assert (shared.path / "last-1-of-2.pt").is_file(), "the second process had nothing to do"
    one, two = (run.result()["attacks"] for run in (undisturbed, shared))
    # a share of an ensemble's examples makes other batches, and with them a few passes more or less
    assert [row["forwards"] for row in one] == [pytest.approx(row["forwards"], rel=0.01) for row in two]


def test_batch_size_does_not_matter_to_ensembles(undisturbed: Run, tmp_path: Path) -> None:
    config = replace(CONFIG, attacks=("autoattack",), batch_size=12)
    other = evaluate(linear_digits.make(), config, runs_dir=tmp_path, device="cpu", display=False)
    assert torch.equal(flags(other)["autoattack"], flags(undisturbed)["autoattack"])


def test_sweeps_equal_separate_attacks(tmp_path: Path) -> None:
    model = linear_digits.make()
    config = replace(CONFIG, attacks=("fgsm",), sweep_steps=(1, 7, 20), sweep_eps=(0.01, 0.03))
    run = evaluate(model, config, runs_dir=tmp_path, device="cpu", display=False)
    swept, curves = flags(run), run.result()["sweeps"]
    test = DATA.load(None).test
    x, y = test.images.float() / 255, test.labels
    rows = swept["clean"].nonzero().flatten()
    for steps in (1, 7, 20):
        for batch in rows.split(6):
            attack = PGD(eps=0.03, steps=steps, step_size=round(0.03 / 3.1, 12), seed=int(batch[0]))
            right = model(attack(model, x[batch], y[batch])).argmax(1) == y[batch]
            assert torch.equal(swept[f"pgd{steps}"][batch], right)
    assert [row["steps"] for row in curves["steps"]] == [1, 7, 20]
    assert curves["steps"][2]["robust_acc"] == pytest.approx(swept["pgd20"].double().mean().item())
    by_radius = [row["robust_acc"] for row in curves["eps"]]
    assert by_radius[0] > by_radius[1]
    assert by_radius[1] == curves["steps"][2]["robust_acc"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"sweep_steps": (0, 7)}, "sweep_steps: got"), ({"sweep_eps": (-0.1,)}, "sweep_eps: got")],
)
def test_sweeps_out_of_range_are_named(changes: dict[str, tuple[float, ...]], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        replace(CONFIG, **changes)  # type: ignore[arg-type]


def test_steps_of_a_sweep_ascend(tmp_path: Path) -> None:
    config = replace(CONFIG, attacks=("fgsm",), sweep_steps=(20, 7))
    with pytest.raises(ConfigError, match="sweep_steps"):
        evaluate(linear_digits.make(), config, runs_dir=tmp_path, device="cpu", display=False)
