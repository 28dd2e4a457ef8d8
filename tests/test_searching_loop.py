"""The bilevel loop: determinism, kill and resume, cache hits, split, several processes, errors."""

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
import torch

from advrush.data import DataConfig
from advrush.errors import ConfigError, RunError
from advrush.out_of_memory import memory_advice
from advrush.parallel import Parallel
from advrush.run import Run
from advrush.searching import AlphaStep, Batch, CurvatureConfig, Darts, SearchConfig, derive, search
from advrush.searching.config import Deviations
from advrush.searching.loop import clip_
from advrush.searching.monitor import skip_warning
from advrush.searching.streams import Streams
from processes import ended, job, killed, started
from small_space import registered

with registered():
    TINY = SearchConfig(
        name="tiny",
        space="small",
        data=DataConfig(dataset="digits", train_examples=128),
        channels=2,
        layers=3,
        epochs=3,
        warmup_epochs=2,
        batch_size=16,
        crop=1,
        flip=False,
        curvature=CurvatureConfig(measure_every=2),
    )
    IN_FLOAT64 = replace(TINY, dtype="float64", epochs=2, warmup_epochs=1)


@pytest.fixture(scope="module", autouse=True)
def small_space() -> Iterator[None]:
    with registered():
        yield


def search_registered(config: SearchConfig, runs: Path) -> None:
    """Search in a process of its own."""
    with registered():
        search(config, runs_dir=runs, device="cpu", display=False)


def timeless(run: Run) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key != "seconds"} for row in run.metrics()]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return search(TINY, runs_dir=tmp_path_factory.mktemp("runs"), device="cpu", display=False)


def test_run_directory_holds_what_a_search_found(undisturbed: Run) -> None:
    rows, genotype = undisturbed.metrics(), derive(undisturbed)
    assert [row["epoch"] for row in rows] == [0, 1, 2]
    assert [row["phase"] for row in rows] == ["warmup", "warmup", "objective"]
    assert all(row["curvature"] > 0 for row in rows)
    assert json.loads((undisturbed.path / "genotype.json").read_text()) == genotype.to_dict() == rows[-1]["genotype"]
    alphas = undisturbed.load_tensors("alphas/epoch-002.safetensors")
    assert {kind: tuple(alpha.shape) for kind, alpha in alphas.items()} == {"normal": (2, 6), "reduce": (2, 6)}
    assert rows[0]["loss_train"] > rows[-1]["loss_train"]


def test_same_seed_gives_the_same_metrics_and_another_does_not(undisturbed: Run, tmp_path: Path) -> None:
    again = search(TINY, runs_dir=tmp_path, device="cpu", display=False)
    other = search(replace(TINY, seed=1, epochs=1), runs_dir=tmp_path, device="cpu", display=False)
    assert timeless(again) == timeless(undisturbed)
    assert other.metrics()[0]["loss_train"] != undisturbed.metrics()[0]["loss_train"]


def test_finished_run_is_a_cache_hit(undisturbed: Run) -> None:
    before = (undisturbed.path / "result.json").stat().st_mtime_ns
    again = search(TINY, runs_dir=undisturbed.path.parents[1], device="cpu", display=False)
    assert again.path == undisturbed.path
    assert (again.path / "result.json").stat().st_mtime_ns == before


def test_killed_in_mid_epoch_and_resumed_equals_one_left_alone(undisturbed: Run, tmp_path: Path) -> None:
    process = started(search_registered, TINY, tmp_path)
    path = tmp_path / "search" / undisturbed.path.name
    deadline = time.monotonic() + 120
    while not (path / "last.pt").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.1)
    assert killed(process) == -9
    assert not (path / "result.json").exists(), "the search ended before it could be killed"
    search(TINY, runs_dir=tmp_path, device="cpu", display=False)
    resumed = Run.at(path)
    assert timeless(resumed) == timeless(undisturbed)
    assert derive(resumed) == derive(undisturbed)


def test_two_processes_compute_what_one_does(tmp_path: Path) -> None:
    one = search(IN_FLOAT64, runs_dir=tmp_path / "one", device="cpu", display=False)
    assert [ended(process) for process in job(2, search_registered, IN_FLOAT64, tmp_path / "two")] == [0, 0]
    two = Run.at(tmp_path / "two" / "search" / one.path.name)
    assert derive(two) == derive(one)
    for epoch in range(2):
        name = f"alphas/epoch-{epoch:03d}.safetensors"
        a, b = one.load_tensors(name), two.load_tensors(name)
        for kind, alpha in a.items():
            torch.testing.assert_close(b[kind], alpha, rtol=0, atol=1e-12)
    state_one, state_two = one.load_state(writer=False), two.load_state(writer=False)
    assert state_one is not None
    assert state_two is not None
    for name, tensor in state_one["supernet"].items():
        torch.testing.assert_close(state_two["supernet"][name], tensor, rtol=1e-8, atol=1e-10)


class _Poisoned(Darts):
    """A validation loss that is not a number from the second epoch on."""

    def alpha_step(self, supernet: Any, batch: Batch) -> AlphaStep:
        return replace(super().alpha_step(supernet, batch), loss=torch.tensor(float("nan")))


def test_loss_that_is_not_finite_stops_with_the_last_good_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"epoch 3, step 1; last good checkpoint: .*last\.pt"):
        search(TINY, runs_dir=tmp_path, device="cpu", display=False, objective=_Poisoned())


def test_batch_larger_than_half_of_the_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="batch_size: got 65; expected at most 64"):
        search(replace(TINY, batch_size=65), runs_dir=tmp_path, device="cpu", display=False)


@pytest.mark.parametrize(
    ("field", "value"), [("layers", 2), ("epochs", 0), ("batch_size", 0), ("space", "dart"), ("warmup_epochs", -1)]
)
def test_values_out_of_range_are_named(field: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"{field}: got {value!r}; expected"):
        replace(TINY, **{field: value})


def test_authors_fidelity_turns_every_deviation_on() -> None:
    names = list(Deviations.__dataclass_fields__)
    assert len(names) == 5
    assert not any(TINY.departs(name) for name in names)
    assert all(replace(TINY, fidelity="authors").departs(name) for name in names)
    for name in names:
        single = replace(TINY, deviations=Deviations(**{name: True}))
        assert [single.departs(other) for other in names] == [other == name for other in names]


def test_authors_fidelity_computes_what_all_deviations_together_do(tmp_path: Path) -> None:
    def rows(**changes: Any) -> list[dict[str, Any]]:
        data = replace(TINY.data, train_examples=32)
        config = replace(TINY, data=data, epochs=1, warmup_epochs=0, **changes)
        run = search(config, runs_dir=tmp_path, device="cpu", display=False)
        assert run.result()["curvature_path"] == ("double backward" if changes else "linearized")
        return timeless(run)

    every = Deviations(**dict.fromkeys(Deviations.__dataclass_fields__, True))
    authors = rows(fidelity="authors")
    assert authors == rows(deviations=every)
    assert authors[0]["loss_val"] != rows()[0]["loss_val"]


def test_without_a_split_the_architecture_always_sees_the_first_images() -> None:
    dataset = TINY.data.load(None)
    processes = Parallel(0, 1, torch.device("cpu"))
    plain = replace(TINY, crop=0, deviations=Deviations(no_split=True))
    steps = list(Streams.of(plain, dataset, processes).epoch(3))
    assert len(steps) == len(dataset.train) // TINY.batch_size
    assert torch.equal(torch.cat([y for (_, y), _ in steps]), dataset.train.labels)
    assert all(torch.equal(y_val, dataset.train.labels[: TINY.batch_size]) for _, (_, y_val) in steps)
    augmented = list(Streams.of(replace(plain, crop=1), dataset, processes).epoch(3))
    assert not torch.equal(augmented[0][1][0], augmented[1][1][0])


def test_running_out_of_memory_says_what_to_try() -> None:
    with (
        pytest.raises(RunError, match="out of memory at batch_size 96; try batch_size 48"),
        memory_advice("batch_size", 96),
    ):
        raise torch.OutOfMemoryError("CUDA out of memory")
    with pytest.raises(RuntimeError, match="something else"), memory_advice("batch_size", 96):
        raise RuntimeError("something else")


def test_clip_bounds_the_common_norm() -> None:
    gradients = [torch.full((3,), 4.0), torch.full((4,), 3.0)]
    clip_(gradients, 5.0)
    assert torch.cat(gradients).norm().item() == pytest.approx(5.0, rel=1e-5)
    small = [torch.ones(4)]
    clip_(small, 5.0)
    assert torch.equal(small[0], torch.ones(4))


def test_skip_warning_names_the_cell() -> None:
    row = {"skips": {"normal": 5, "reduce": 2}, "edges": {"normal": 8, "reduce": 8}}
    assert "5 of the 8 edges of the normal cell" in (skip_warning(row) or "")
    assert skip_warning({"skips": {"normal": 4}, "edges": {"normal": 8}}) is None


@pytest.mark.parametrize("fidelity", ["paper", "authors"])
def test_the_authors_h_rises_over_six_epochs(fidelity: Literal["paper", "authors"]) -> None:
    config = SearchConfig(fidelity=fidelity, epochs=8, warmup_epochs=0)
    found = [config.step_length(epoch) for epoch in range(8)]
    wanted = [0.0, 0.3, 0.6, 0.9, 1.2, 1.5, 1.5, 1.5] if fidelity == "authors" else [1.5] * 8
    assert found == pytest.approx(wanted)


def test_the_ramp_has_a_switch_of_its_own_and_acts(tmp_path: Path) -> None:
    plain = SearchConfig(
        space="small", epochs=2, warmup_epochs=0, channels=2, layers=3, batch_size=32, crop=1, flip=False,
        data=DataConfig("digits", train_examples=96),
    )  # fmt: skip
    ramped = replace(plain, deviations=Deviations(h_ramp=True))
    curvature = [
        [row["curvature"] for row in search(config, runs_dir=tmp_path, display=False).metrics()]
        for config in (plain, ramped)
    ]
    assert curvature[1][0] == 0  # h is 0 in the first epoch
    assert 0 < curvature[1][1] < curvature[0][1]  # and a fifth of it in the second
