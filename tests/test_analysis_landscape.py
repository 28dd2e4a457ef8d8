"""Loss surfaces: what is at each point of the grid, the same bytes on repetition, the number that goes with them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from advrush import analyze_curvature, analyze_landscape, input_landscape, weight_landscape
from advrush.analysis import CurvatureConfig, LandscapeConfig, pieces
from advrush.analysis.intervals import correlation, mean_interval, spearman
from advrush.analysis.pieces import Piece, Pieces
from advrush.analysis.slope import steepest
from advrush.curvature import input_gradient, measure_curvature
from advrush.data import DataConfig
from advrush.errors import ConfigError, ModelContractError
from advrush.models.weights.saved import load
from advrush.run import Run


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)).eval()


def images(count: int = 4) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.rand((count, 1, 8, 8), generator=generator), torch.randint(0, 3, (count,), generator=generator)


@pytest.mark.parametrize("direction", ["normal", "sign"])
def test_each_point_is_the_loss_of_the_moved_image(direction: str) -> None:
    model, (x, y) = network(), images()
    found = input_landscape(model, x, y, direction=direction, extent=0.1, points=5, batch_size=7)  # type: ignore[arg-type]
    assert found.coordinates.tolist() == pytest.approx([-0.1, -0.05, 0, 0.05, 0.1])
    g = input_gradient(model, x, y, create_graph=False)
    r = (g.sign() if direction == "sign" else g).flatten(1)
    r = (8 * r / r.norm(dim=1, keepdim=True)).view_as(x)  # 8 = sqrt(64 pixels): a root mean square of 1
    with torch.no_grad():
        for i, a in enumerate(found.coordinates.tolist()):
            expected = cross_entropy(model(x + a * r), y, reduction="none")
            torch.testing.assert_close(found.losses[:, i, 2], expected, rtol=1e-4, atol=1e-5)
    whole = input_landscape(model, x, y, direction=direction, extent=0.1, points=5)  # type: ignore[arg-type]
    torch.testing.assert_close(whole.losses, found.losses, rtol=1e-4, atol=1e-5)
    other = input_landscape(model, x, y, direction=direction, extent=0.1, points=5, seed=1)  # type: ignore[arg-type]
    torch.testing.assert_close(other.losses[:, :, 2], found.losses[:, :, 2], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(other.losses, found.losses, rtol=1e-4)


def test_the_second_direction_is_orthogonal_and_as_long() -> None:
    w = torch.linspace(-1, 1, 64)

    class Plane(nn.Module):  # s = w . x: only the part of a step along w changes the loss
        def forward(self, x: Tensor) -> Tensor:
            s = x.flatten(1) @ w
            return torch.stack([s, torch.zeros_like(s)], dim=1)

    x, _ = images()
    found = input_landscape(Plane(), x, torch.zeros(4, dtype=torch.int64), extent=0.2, points=5)
    torch.testing.assert_close(found.losses, found.losses[:, :, :1].expand(-1, -1, 5), rtol=1e-4, atol=1e-5)
    assert (found.losses[:, 4, 2] > found.losses[:, 2, 2]).all()


def test_weights_move_by_filters_of_their_own_length_and_the_model_stays() -> None:
    model, (x, y) = network(), images()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = weight_landscape(model, x, y, extent=0.5, points=3)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    with torch.no_grad():
        torch.testing.assert_close(found.losses[:, 1, 1], cross_entropy(model(x), y, reduction="none"))
        scaled = network()
        scaled[0].weight.mul_(3)  # type: ignore[operator, union-attr]
        scaled[0].bias.mul_(3)  # type: ignore[operator, union-attr]
        scaled[1].running_mean.mul_(3)  # type: ignore[operator, union-attr]
        scaled[1].running_var.mul_(9).add_(8 * scaled[1].eps)  # type: ignore[operator, union-attr]
    same = weight_landscape(scaled, x, y, extent=0.5, points=3)  # the same function, so the same surface
    torch.testing.assert_close(same.losses, found.losses, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(found.losses[:, 0, 0], found.losses[:, 1, 1], rtol=1e-3)


def test_the_steepest_slope_of_a_plane_is_its_slope() -> None:
    axis = np.linspace(-1, 1, 5)
    assert steepest(3 * axis[:, None] + 4 * axis[None, :], 0.5) == pytest.approx(5)


def test_bad_grids_are_refused() -> None:
    model, (x, y) = network(), images()
    for options, words in (({"points": 4}, "points: got 4; expected an odd"), ({"extent": 0.0}, "extent: got 0.0")):
        with pytest.raises(ConfigError, match=words):
            input_landscape(model, x, y, **options)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="points: got 10"):
        LandscapeConfig(points=10)


def test_a_loss_that_is_not_finite_is_refused_in_words() -> None:
    class Fragile(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            s = x.flatten(1).sum(dim=1)
            return torch.stack([torch.where(s > s.new_tensor(1e9), s / 0, s), s], dim=1)

    x, y = images()
    with pytest.raises(ModelContractError, match=r"not finite at \d+ of 36 points of the plane; try a smaller extent"):
        input_landscape(Fragile(), x, torch.ones_like(y) * 0, extent=1e9, points=3)


def test_the_same_command_gives_the_same_bytes(trained: tuple[Path, Path], tmp_path: Path) -> None:
    config = LandscapeConfig(data=DataConfig("digits"), images=10, points=5, extent=0.1)
    runs = [analyze_landscape(trained[0], config, runs_dir=tmp_path / name, display=False) for name in ("a", "b")]
    files = [(run.path / "landscape.safetensors").read_bytes() for run in runs]
    assert runs[0].path.name == runs[1].path.name and files[0] == files[1]
    assert runs[0].result() == runs[1].result()
    result, arrays = runs[0].result(), runs[0].load_tensors("landscape.safetensors")
    assert arrays["losses"].shape == (10, 5, 5)
    slope = result["steepest_slope"]
    assert slope["value"] == pytest.approx(steepest(arrays["mean"].numpy(), 0.05))
    assert slope["low"] <= slope["value"] <= slope["high"]
    assert result["loss"] == pytest.approx(float(arrays["losses"].double().mean(dim=0)[2, 2]))
    weights = LandscapeConfig(data=DataConfig("digits"), images=10, points=3, around="weights")
    moved = analyze_landscape(trained[0], weights, runs_dir=tmp_path, display=False)
    assert moved.path != runs[0].path and moved.result()["loss"] == pytest.approx(result["loss"], rel=1e-5)


@pytest.mark.parametrize("what", ["input", "weights", "curvature"])
def test_an_interrupted_analysis_goes_on_and_gives_the_same_bytes(
    what: Literal["input", "weights", "curvature"], trained: tuple[Path, Path], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    class Killed(BaseException):
        pass

    computed: list[str] = []
    keep = Pieces.__call__

    def counted(self: Pieces, name: str, compute: Callable[[], Piece]) -> Piece:
        def known() -> Piece:
            if stops and len(computed) == 2:
                raise Killed
            computed.append(name)
            return compute()

        return keep(self, name, known)

    def run(folder: str) -> Run:
        runs_dir, data = tmp_path / folder, DataConfig("digits")
        if what == "curvature":
            config = CurvatureConfig(data=data, images=10, batch_size=3)
            return analyze_curvature(trained[0], config, runs_dir=runs_dir, display=False)
        plane = LandscapeConfig(data=data, images=5, points=3, batch_size=9, around=what)
        return analyze_landscape(trained[0], plane, runs_dir=runs_dir, display=False)

    monkeypatch.setattr(pieces, "EVERY", 0.0)
    monkeypatch.setattr(Pieces, "__call__", counted)
    stops = True
    with pytest.raises(Killed):
        run("part")
    stops, first = False, list(computed)
    last = run("part")
    assert not set(computed[2:]) & set(first), "what was done is done again"
    whole = run("whole")
    name = "curvature.safetensors" if what == "curvature" else "landscape.safetensors"
    for file in (name, "result.json"):
        assert (last.path / file).read_bytes() == (whole.path / file).read_bytes(), file


def test_a_curvature_run_has_l_lambda_beside_the_spectrum(trained: tuple[Path, Path], tmp_path: Path) -> None:
    config = CurvatureConfig(data=DataConfig("digits"), images=20, h=0.7)
    run = analyze_curvature(trained[0], config, runs_dir=tmp_path, display=False)
    result, arrays = run.result(), run.load_tensors("curvature.safetensors")
    assert result["method"] == "exact" and result["relative_error"] < 1e-12 and result["images"] == 20
    test = DataConfig("digits", test_examples=20).load().test
    x, y = test.images.float() / 255, test.labels
    model = load(trained[0])
    expected = float(measure_curvature(model, x, y, h=0.7))
    assert result["l_lambda"]["mean"] == pytest.approx(expected, rel=1e-4)
    assert torch.equal(arrays["y"], y)
    with torch.no_grad():
        assert torch.equal(arrays["correct"], model(x).argmax(1) == y)
    assert result["lambda_max"]["mean"] == pytest.approx(float(arrays["lambda_max"].mean()))
    again = analyze_curvature(trained[0], config, runs_dir=tmp_path, display=False)
    assert again.path == run.path


def test_bootstrap_intervals_and_rank_correlations() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(3.0, 1.0, size=400)
    found = mean_interval(values)
    assert found["mean"] == pytest.approx(values.mean())
    assert found["high"] - found["low"] == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.15)
    a = np.arange(6.0) + rng.normal(0, 0.1, (50, 6))
    both = correlation(a, np.exp(a))
    assert both["spearman"]["value"] == 1 and both["pearson"]["value"] < 1
    assert correlation(a, np.ones_like(a)) == {"pearson": None, "spearman": None}
    assert spearman(np.array([1.0, 2.0, 3.0]), np.array([9.0, 4.0, 1.0])) == -1
