"""The path of Theorem 1: the curve, its batch-norm statistics, the training of its bend, the largest loss."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from advrush import analyze_path
from advrush.analysis import BezierPath, PathConfig, analyze_architecture, bezier, largest_loss, path_stage, train_bend
from advrush.analysis.bezier import recompute_statistics
from advrush.analysis.intervals import pearson
from advrush.cli import main
from advrush.data import DataConfig, Split
from advrush.errors import ConfigError
from advrush.models.normalize import Normalized
from advrush.report.records import Record
from advrush.run import Run


def network(seed: int, *, width: int = 4) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, width, 3), nn.BatchNorm2d(width), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(),
        nn.Linear(36 * width, 3),
    ).eval()  # fmt: skip


def images(count: int = 64) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.rand((count, 1, 8, 8), generator=generator), torch.randint(0, 3, (count,), generator=generator)


def test_the_curve_runs_from_one_network_to_the_other_by_its_bend() -> None:
    first, last = network(0), network(1)
    path = BezierPath(first, last)
    for t, expected in ((0.0, first), (1.0, last)):
        for name, w in expected.named_parameters():
            assert torch.equal(path.weights(t)[name], w)
    path.bend = {name: torch.ones_like(b) for name, b in path.bend.items()}
    middle = path.weights(0.5)["0.weight"]
    torch.testing.assert_close(middle, 0.25 * first[0].weight + 0.5 + 0.25 * last[0].weight)  # type: ignore[operator, index]


def test_a_normalization_of_one_end_alone_is_carried_along() -> None:
    inner, last = network(0), network(1)
    first = Normalized(inner, [0.3], [0.2]).eval()
    before = {name: value.clone() for name, value in first.state_dict().items()}
    path = BezierPath(first, last)
    x, _ = images()
    for t, expected in ((0.0, first), (1.0, last)):
        network_at = path.move(t).eval()
        norms = [m for m in network_at.modules() if isinstance(m, nn.BatchNorm2d)]
        inside = [m for m in expected.modules() if isinstance(m, nn.BatchNorm2d)]
        norms[0].load_state_dict(inside[0].state_dict())
        with torch.no_grad():
            torch.testing.assert_close(network_at(x), expected(x), rtol=1e-4, atol=1e-5)
    assert all(torch.equal(value, before[name]) for name, value in first.state_dict().items())


def test_statistics_are_the_averages_over_the_batches() -> None:
    model, (x, _) = network(0), images()
    recompute_statistics(model, x.split(16))  # type: ignore[no-untyped-call]
    with torch.no_grad():
        maps = [model[0](part) for part in x.split(16)]  # type: ignore[operator, index, no-untyped-call]
    mean = torch.stack([each.mean(dim=(0, 2, 3)) for each in maps]).mean(dim=0)
    variance = torch.stack([each.transpose(0, 1).flatten(1).var(dim=1) for each in maps]).mean(dim=0)
    norm = model[1]  # type: ignore[index]
    torch.testing.assert_close(norm.running_mean, mean)
    torch.testing.assert_close(norm.running_var, variance)
    assert norm.momentum == 0.1 and not any(module.training for module in model.modules())


def test_training_bends_the_curve_to_a_lower_loss_and_leaves_the_ends() -> None:
    x, y = images(96)
    y = (x.flatten(1).mean(dim=1) * 1e3).long() % 2  # something to learn by heart
    split = Split((x * 255).to(torch.uint8), y)
    first, last = network(0), network(1)
    path = BezierPath(first, last)
    start = {name: b.clone() for name, b in path.bend.items()}
    losses = train_bend(path, split, epochs=30, batch_size=32, lr=0.05)
    assert len(losses) == 30 and np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])
    assert any(not torch.equal(b, start[name]) for name, b in path.bend.items())
    assert all(torch.equal(path.weights(0.0)[name], w) for name, w in first.named_parameters())
    again = BezierPath(first, last)
    assert train_bend(again, split, epochs=30, batch_size=32, lr=0.05) == losses


def test_a_step_follows_the_gradient_of_the_bend() -> None:
    """The bend's gradient by autograd through the curve is 2 t (1 - t) times that of the weights."""
    x, y = images(32)
    split = Split((x * 255).to(torch.uint8), y)
    path = BezierPath(network(0), network(1))
    t = float(torch.rand((), generator=torch.Generator().manual_seed(5), dtype=torch.float64))
    bends = {name: b.clone().requires_grad_(True) for name, b in path.bend.items()}
    weights = {
        name: (1 - t) ** 2 * path.start[name] + 2 * t * (1 - t) * b + t**2 * path.end[name] for name, b in bends.items()
    }
    model = network(0)
    model[1].train()  # type: ignore[index]
    logits = torch.func.functional_call(model, weights, (split.images.float() / 255,))
    expected = torch.autograd.grad(cross_entropy(logits, y), list(bends.values()))
    norm = float(torch.stack([g.norm() for g in expected]).norm())
    before = {name: b.clone() for name, b in path.bend.items()}
    train_bend(path, split, epochs=1, batch_size=32, lr=0.1, seed=5)
    for (name, b), g in zip(path.bend.items(), expected, strict=True):
        torch.testing.assert_close(b, before[name] - 0.1 * g * min(1.0, 5 / norm), rtol=1e-4, atol=1e-6)


def test_networks_of_other_shapes_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"parameter 0\.weight: got .*; expected two networks of one architecture"):
        BezierPath(network(0), network(1, width=5))


def test_the_largest_loss_is_known_for_a_linear_network_and_stays_in_the_ball() -> None:
    w = torch.linspace(-1, 1, 64)
    seen: list[Tensor] = []

    class Linear(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(x.detach().clone())
            s = (x - 0.5).flatten(1) @ w
            return torch.stack([s, torch.zeros_like(s)], dim=1)

    x = 0.3 + 0.4 * images(10)[0]
    y = torch.zeros(10, dtype=torch.int64)
    found = largest_loss(Linear(), x, y, eps=0.05, steps=12, restarts=2)
    s = (x - 0.5).flatten(1) @ w
    torch.testing.assert_close(found.clean, torch.nn.functional.softplus(-s))
    torch.testing.assert_close(found.largest, torch.nn.functional.softplus(-(s - 0.05 * w.abs().sum())))
    assert torch.equal(found.correct, s >= 0)
    assert torch.equal(found.robust, s - 0.05 * w.abs().sum() >= 0)
    assert max(float((each - x).abs().max()) for each in seen) <= 0.05 + 1e-6


def test_a_run_holds_the_correlations_of_what_it_measured(trained: tuple[Path, Path], tmp_path: Path) -> None:
    adversarial, standard = trained
    config = PathConfig(
        data=DataConfig("digits", train_examples=128), points=3, epochs=1, images=12, statistics_images=64, eps=0.1,
        attack_steps=3, restarts=1, batch_size=32,
    )  # fmt: skip
    run = analyze_path(standard, adversarial, config, runs_dir=tmp_path, display=False)
    result, arrays = run.result(), run.load_tensors("path.safetensors")
    assert [point["t"] for point in result["points"]] == [0.0, 0.5, 1.0]
    assert arrays["lambda_max"].shape == (12, 3) and len(result["bend_losses"]) == 1
    means = {name: arrays[name].mean(dim=0).numpy() for name in ("lambda_max", "adversarial_loss", "loss")}
    assert result["correlation"]["pearson"]["value"] == pytest.approx(
        pearson(means["lambda_max"], means["adversarial_loss"])
    )
    assert result["correlation_of_rise"]["pearson"]["value"] == pytest.approx(
        pearson(means["lambda_max"], means["adversarial_loss"] - means["loss"])
    )
    assert (arrays["adversarial_loss"] >= arrays["loss"]).all()
    assert ((arrays["cosine"] >= 0) & (arrays["cosine"] <= 1 + 1e-9)).all()
    again = analyze_path(standard, adversarial, config, runs_dir=tmp_path / "b", display=False)
    assert (again.path / "path.safetensors").read_bytes() == (run.path / "path.safetensors").read_bytes()


def test_the_command_asks_for_two_networks(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["analyze", "path", "runs/train/a"]) == 2
    assert "expected a standard and an adversarial training" in capsys.readouterr().err


SHORT = PathConfig(
    data=DataConfig("digits", train_examples=96), points=3, epochs=3, images=8, statistics_images=32, eps=0.1,
    attack_steps=2, restarts=1, batch_size=32,
)  # fmt: skip


@pytest.fixture(scope="module")
def undisturbed(trained: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Run:
    adversarial, standard = trained
    return analyze_path(standard, adversarial, SHORT, runs_dir=tmp_path_factory.mktemp("whole"), display=False)


@pytest.mark.parametrize("stop", ["bend", "point"])
def test_an_interrupted_run_ends_like_one_left_alone(
    stop: str, undisturbed: Run, trained: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    adversarial, standard = trained
    done: list[int] = []

    def dies_after(count: int, name: str, patch: pytest.MonkeyPatch) -> None:
        before = getattr(path_stage if name == "_point" else bezier, name)

        def work(*args: object, **options: object) -> object:
            if len(done) == count:
                raise Killed
            done.append(1)
            return before(*args, **options)

        patch.setattr(path_stage if name == "_point" else bezier, name, work)

    name, count = ("_descend", 4) if stop == "bend" else ("_point", 2)  # three steps an epoch
    with monkeypatch.context() as patch:
        dies_after(count, name, patch)
        with pytest.raises(Killed):
            analyze_path(standard, adversarial, SHORT, runs_dir=tmp_path / "part", display=False)
    done.clear()
    dies_after(1000, name, monkeypatch)
    run = analyze_path(standard, adversarial, SHORT, runs_dir=tmp_path / "part", display=False)
    assert len(done) == (6 if stop == "bend" else 1), "what was done is done again"
    for name in ("bend.safetensors", "path.safetensors", "result.json"):
        assert (run.path / name).read_bytes() == (undisturbed.path / name).read_bytes(), name


def test_the_list_of_runs_knows_how_long_an_analysis_took(tmp_path: Path) -> None:
    run = analyze_architecture(["advrush"], runs_dir=tmp_path, display=False)
    assert 0 < Record.read(run.path).seconds < 600
