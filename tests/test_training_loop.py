"""The training loop: losses fall, determinism, kill and resume, averages, early stopping, processes, errors."""

import _thread
import functools
import json
import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import advrush
import advrush.evaluation
from advrush.data import Augment, DataConfig
from advrush.errors import ConfigError, RunError
from advrush.run import Run
from advrush.training import AttackConfig, OptimizerConfig, TrainConfig, train
from processes import ended, job, killed, started

TINY = TrainConfig(
    name="tiny",
    arch="resnet18",
    channels=2,
    data=DataConfig(dataset="digits", train_examples=160),
    attack=AttackConfig(eps=0.1, steps=2, step_size=0.05, val_steps=2),
    optimizer=OptimizerConfig(lr=0.05, schedule="cosine"),
    epochs=3,
    batch_size=16,
    augment=Augment(crop=1, flip=False),
    validation_examples=32,
)
EVERYTHING = replace(
    TINY, objective="mart", awp=0.01, awp_after=1, ema=0.9, micro_batch=8,
    optimizer=OptimizerConfig(lr=0.05, schedule="one-cycle"),
)  # fmt: skip

SHARED = replace(TINY, epochs=1, awp=0.01)


def in_float64() -> None:
    """Hand the loop its images in float64, in which the processes must agree."""
    from advrush.training import loop

    batches, measure = loop.epoch_batches, loop.measure
    loop.epoch_batches = lambda *a, **k: ((x.double(), y) for x, y in batches(*a, **k))  # type: ignore[assignment]
    loop.measure = lambda model, x, y, **k: measure(model, x.double(), y, **k)


def train_in_float64(runs: Path) -> None:
    torch.set_default_dtype(torch.float64)
    in_float64()
    quiet(SHARED, runs)


def train_begun(config: TrainConfig, runs: Path, begun: Path) -> None:
    """Write a file, then train."""
    begun.touch()
    quiet(config, runs)


@contextmanager
def interrupted_after_an_epoch(folder: Path) -> Iterator[None]:
    """Press Ctrl-C, as it were, once a run under `folder` has kept its first state; expects it to be felt.

    The signal comes from where the state is kept: a thread that looks for the file may be slower than a training.
    """
    kept = Run.save_state

    def keep(run: Run, state: Any, name: str = "last.pt") -> None:
        kept(run, state, name)
        if run.path.is_relative_to(folder):
            _thread.interrupt_main()

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores Ctrl-C
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Run, "save_state", keep)
            with pytest.raises(KeyboardInterrupt):
                yield
    finally:
        signal.signal(signal.SIGINT, before)


def quiet(config: TrainConfig, where: Path) -> Run:
    return train(config, runs_dir=where, device="cpu", display=False)


def timeless(run: Run) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key != "seconds"} for row in run.metrics()]


def same_weights(first: Run, second: Run) -> bool:
    a, b = (load_file(run.path / "weights.safetensors") for run in (first, second))
    return all(torch.equal(a[key], b[key]) for key in a | b)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return quiet(TINY, tmp_path_factory.mktemp("runs"))


def test_loss_falls_and_the_run_holds_the_network(undisturbed: Run) -> None:
    rows, result = undisturbed.metrics(), undisturbed.result()
    assert [row["epoch"] for row in rows] == [0, 1, 2]
    assert rows[-1]["loss_train"] < rows[0]["loss_train"]
    assert result["parameters"] == sum(p.numel() for p in advrush.load(undisturbed.path).parameters())
    best = max(row["robust_acc_val"] for row in rows)
    assert result["robust_acc_val"] == best
    assert result["robust_overfitting"] == pytest.approx(best - rows[-1]["robust_acc_val"])
    assert (undisturbed.path / "best.safetensors").is_file()


def test_same_seed_gives_the_same_network_and_another_does_not(undisturbed: Run, tmp_path: Path) -> None:
    again, other = quiet(TINY, tmp_path), quiet(replace(TINY, seed=1), tmp_path)
    assert timeless(again) == timeless(undisturbed)
    assert same_weights(again, undisturbed)
    assert timeless(other) != timeless(undisturbed)


def test_finished_run_is_a_cache_hit(undisturbed: Run) -> None:
    before = (undisturbed.path / "result.json").stat().st_mtime_ns
    quiet(TINY, undisturbed.path.parents[1])
    assert (undisturbed.path / "result.json").stat().st_mtime_ns == before


def kill_and_resume(config: TrainConfig, where: Path, delays: list[float]) -> Run:
    """Start a training, kill it so many seconds into it each time, then let it end."""
    codes = []
    for number, delay in enumerate(delays):
        begun = where.with_name(f"begun-{number}")
        process = started(train_begun, config, where, begun)
        while not begun.exists():
            assert process.is_alive()
            time.sleep(0.01)
        time.sleep(delay)
        codes.append(killed(process))
    assert codes[0] == -9  # the later ones may come too late
    return quiet(config, where)


def test_killed_at_random_moments_it_ends_like_one_left_alone(tmp_path: Path) -> None:
    undisturbed = quiet(EVERYTHING, tmp_path / "alone")
    whole = sum(row["seconds"] for row in undisturbed.metrics())
    delays = [random.Random(seed).uniform(0.1, 0.7) * whole for seed in range(5)]
    resumed = kill_and_resume(EVERYTHING, tmp_path / "killed", delays)
    assert timeless(resumed) == timeless(undisturbed)
    assert same_weights(resumed, undisturbed)


def test_average_of_weights_is_what_is_saved(tmp_path: Path) -> None:
    plain, averaged = quiet(replace(TINY, epochs=1), tmp_path), quiet(replace(TINY, epochs=1, ema=0.99), tmp_path)
    assert timeless(plain)[0]["loss_train"] == timeless(averaged)[0]["loss_train"]
    assert not same_weights(plain, averaged)
    state = torch.load(averaged.path / "last.pt", weights_only=True)
    saved = load_file(averaged.path / "weights.safetensors")
    weights = [key for key in saved if key.endswith("weight")]
    assert all(torch.equal(state["average"][f"module.{key}"], saved[key]) for key in weights)
    assert not any(torch.equal(state["model"][key], saved[key]) for key in weights)


def test_patience_stops_a_training_that_no_longer_improves(tmp_path: Path) -> None:
    still = replace(TINY, optimizer=OptimizerConfig(lr=1e-12, weight_decay=0.0), epochs=9, patience=2)
    run = quiet(still, tmp_path)
    assert run.result()["epochs"] == 3
    assert run.result()["best_epoch"] == 0
    assert len(run.metrics()) == 3


def test_one_cycle_rises_and_falls_within_epochs() -> None:
    o = OptimizerConfig(lr=0.2, schedule="one-cycle", rise=0.25, lr_min=0.0)
    assert [o.rate(p, 8) for p in (0, 1, 2, 5, 8)] == pytest.approx([0, 0.1, 0.2, 0.1, 0.0])
    assert [OptimizerConfig().rate(e, 200) for e in (0, 99, 100, 150)] == pytest.approx([0.1, 0.1, 0.01, 0.001])


def test_micro_batches_add_up_where_batch_norm_does_not_look(tmp_path: Path) -> None:
    from advrush.parallel import Parallel
    from advrush.training.objectives import Adversarial
    from advrush.training.step import Stepper

    results = []
    for part in (None, 5):
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10)).double()
        attack = advrush.PGD(eps=0.1, steps=2, step_size=0.05, start="none")
        config = replace(TINY, micro_batch=part)
        stepper = Stepper(config, model, Parallel(0, 1, torch.device("cpu")), Adversarial(attack))
        x, y = torch.rand(16, 1, 8, 8, dtype=torch.float64), torch.randint(10, (16,))
        totals = stepper(x, y, torch.Generator(), lr=0.1)
        results.append((totals, model[1].weight.detach()))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_computes_nearly_the_same(undisturbed: Run, precision: Any, tmp_path: Path) -> None:
    run = quiet(replace(TINY, precision=precision, epochs=1), tmp_path)
    half, full = (each.metrics()[0]["loss_train"] for each in (run, undisturbed))
    assert half != full
    assert half == pytest.approx(full, rel=0.1)
    assert all(
        value.dtype in (torch.float32, torch.int64) for value in load_file(run.path / "weights.safetensors").values()
    )


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_trains_and_resumes(precision: Any, tmp_path: Path) -> None:
    # ten epochs: after three, which seeds have learned anything depends on the processor in any precision
    attack = AttackConfig(eps=0.02, steps=1, val_steps=2)
    long = replace(TINY, precision=precision, channels=4, epochs=10, attack=attack, eval_every=10)
    rows = quiet(long, tmp_path / "long").metrics()
    assert rows[-1]["loss_train"] < 0.9 * rows[0]["loss_train"]

    config = replace(TINY, precision=precision)
    whole = quiet(config, tmp_path / "whole")
    with interrupted_after_an_epoch(tmp_path / "cut"):
        quiet(config, tmp_path / "cut")
    (cut,) = (tmp_path / "cut" / "train").iterdir()
    assert 0 < len(Run.at(cut).metrics()) < config.epochs
    resumed = quiet(config, tmp_path / "cut")
    assert timeless(resumed) == timeless(whole)
    assert same_weights(resumed, whole)


def test_compiled_training_computes_the_same(undisturbed: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # the graph is captured and run, without the minutes that generating code for it takes
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))
    few = replace(TINY, data=replace(TINY.data, train_examples=80), epochs=1)
    run, plain = quiet(replace(few, compile=True), tmp_path), quiet(few, tmp_path)
    assert run.metrics()[0]["loss_train"] == pytest.approx(plain.metrics()[0]["loss_train"], rel=1e-4)


def test_two_processes_compute_what_one_does(tmp_path: Path) -> None:
    runs = []
    for count in (1, 2):
        where = tmp_path / str(count)
        assert [ended(process) for process in job(count, train_in_float64, where)] == [0] * count
        (path,) = (where / "train").glob("*")
        runs.append(Run.at(path))
    for one, two in zip(*map(timeless, runs), strict=True):
        assert one["loss_train"] == pytest.approx(two["loss_train"], rel=1e-10)
    first, second = (load_file(run.path / "weights.safetensors") for run in runs)
    for key, value in first.items():
        torch.testing.assert_close(second[key], value, rtol=1e-9, atol=1e-12)


def test_loss_that_is_not_finite_stops_the_run(tmp_path: Path) -> None:
    wild = replace(TINY, optimizer=OptimizerConfig(lr=1e30, clip=1e30))
    with pytest.raises(RunError, match=r"not finite at epoch 1, step \d+; last good checkpoint: none"):
        quiet(wild, tmp_path)


def test_a_network_that_its_last_step_spoiled_stops_the_run_and_names_the_rate(tmp_path: Path) -> None:
    wild = replace(TINY, batch_size=128, optimizer=OptimizerConfig(lr=1e30, clip=1e30))
    said = r"logits are not finite .*, after epoch 1; last good checkpoint: none .* optimizer\.lr is 1e\+30"
    with pytest.raises(RunError, match=said):
        quiet(wild, tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "epochs: got 0"),
        ({"awp": 1.0}, "awp: got 1.0"),
        ({"ema": -0.1}, "ema: got -0.1"),
        ({"patience": 0}, "patience: got 0"),
        ({"micro_batch": 17}, "micro_batch: got 17; expected from 1 to 16"),
        ({"auxiliary": 0.4, "objective": "trades"}, "auxiliary: got 0.4"),
    ],
)
def test_values_out_of_range_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        replace(TINY, **changes)


def test_data_and_batch_must_fit_together(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="batch_size: got 129; expected at most 128"):
        quiet(replace(TINY, batch_size=129), tmp_path)
    with pytest.raises(ConfigError, match="validation_examples: got 160; expected fewer than the 160"):
        quiet(replace(TINY, validation_examples=160), tmp_path)


def test_metrics_are_mirrored_to_trackio(tmp_path: Path) -> None:
    pytest.importorskip("trackio", reason="needs the package trackio (extra track)")
    mirrored = started(
        train_mirrored, tmp_path / "runs", output=tmp_path / "output", TRACKIO_DIR=str(tmp_path / "trackio")
    )
    assert ended(mirrored) == 0, (tmp_path / "output").read_text()


def train_mirrored(runs: Path) -> None:
    train(SHARED, runs_dir=runs, device="cpu", display=False, track="trackio")
    import trackio

    (run,) = trackio.Api().runs("advrush")
    assert run.name.startswith("tiny-"), run.name


def test_metrics_are_mirrored_to_tensorboard(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="track: got 'tensorbord'; expected tensorboard or trackio or wandb"):
        train(TINY, runs_dir=tmp_path, device="cpu", display=False, track="tensorbord")
    pytest.importorskip("tensorboard", reason="needs the package tensorboard (extra track)")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = train(replace(TINY, epochs=2), runs_dir=tmp_path, device="cpu", display=False, track="tensorboard")
    events = EventAccumulator(str(run.path / "tensorboard"))
    events.Reload()
    mirrored = [(event.step, event.value) for event in events.Scalars("loss_train")]
    assert mirrored == [(row["epoch"], pytest.approx(row["loss_train"])) for row in run.metrics()]
    assert json.loads((run.path / "metrics.jsonl").read_text().splitlines()[0])["epoch"] == 0


@pytest.mark.parametrize(
    ("epochs", "drops", "expected"),
    [(200, (100, 150), 105), (105, (100, 150), 105), (90, (30, 60), 35), (9, (4, 6), 6), (5, (4,), 5), (5, (7,), None)],
)
def test_the_epoch_of_the_checkpoint_after_the_first_drop(
    epochs: int, drops: tuple[int, ...], expected: int | None
) -> None:
    assert OptimizerConfig(decay_epochs=drops).drop_checkpoint(epochs) == expected
    assert OptimizerConfig(schedule="cosine", decay_epochs=drops).drop_checkpoint(epochs) is None


def test_three_checkpoints_are_kept_and_told_apart(tmp_path: Path) -> None:
    step = OptimizerConfig(lr=0.05, schedule="step", decay_epochs=(1, 2))
    run = train(replace(TINY, epochs=4, optimizer=step), runs_dir=tmp_path, device="cpu", display=False)
    after_two = train(
        replace(TINY, name="short", epochs=2, optimizer=step), runs_dir=tmp_path, device="cpu", display=False
    )
    drop, last = load_file(run.path / "drop.safetensors"), load_file(run.path / "weights.safetensors")
    short = load_file(after_two.path / "weights.safetensors")
    assert all(torch.equal(drop[key], short[key]) for key in short), "the network after the second epoch"
    assert any(not torch.equal(drop[key], last[key]) for key in last)
    assert run.result()["drop_epoch"] == 1
    assert run.result()["drop_robust_acc_val"] == run.metrics()[1]["robust_acc_val"]
    found = advrush.evaluation.find_target(str(run.path / "drop.safetensors"))
    assert found.label == f"train/{run.path.name}/drop"
    without = train(TINY, runs_dir=tmp_path, display=False)  # a cosine never drops
    assert not (without.path / "drop.safetensors").exists()
    assert without.result()["drop_epoch"] is None
