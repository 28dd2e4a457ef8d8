"""DeepFool and Carlini-Wagner against the exact distances of linear models, and through the common loop."""

import json
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from advrush import evaluate
from advrush.attacks import PGD, CarliniWagner, DeepFool, FastModel, MinimalNorm, parse_attacks, threat_model
from advrush.cli import main
from advrush.data import DataConfig
from advrush.errors import ConfigError
from advrush.run import Run
from attack_models import images, small
from linear_digits import make

SMALL = CarliniWagner(steps=150, searches=6, step_size=0.02, weight=0.1)


def linear(classes: int) -> tuple[nn.Module, Tensor, Tensor, Tensor]:
    """Return a linear model, gray images far from black and white, its labels, and their distances to the boundary."""
    generator = torch.Generator().manual_seed(classes)
    layer = nn.Linear(3 * 36, classes)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(layer.weight.shape, generator=generator))
        layer.bias.zero_()
    model = nn.Sequential(nn.Flatten(), layer).double()
    x = 0.5 + 0.1 * torch.randn(12, 3, 6, 6, generator=generator).double().clamp(-2, 2)
    with torch.no_grad():
        logits = model(x)
    y = logits.argmax(1)
    w, each = layer.weight.detach().double(), torch.arange(len(x))
    lengths = (w[y][:, None] - w[None]).norm(dim=2)
    distances = ((logits[each, y][:, None] - logits) / lengths).scatter(1, y[:, None], torch.inf)
    return model, x, y, distances.amin(dim=1)


@pytest.mark.parametrize("classes", [2, 7])
def test_deepfool_is_exact_on_linear_models(classes: int) -> None:
    model, x, y, exact = linear(classes)
    points, norms = DeepFool(overshoot=1e-4).smallest(model, x, y)
    torch.testing.assert_close(norms, exact * (1 + 1e-4), rtol=1e-9, atol=0)
    torch.testing.assert_close((points - x).flatten(1).norm(dim=1), norms)
    assert bool((model(points).argmax(1) != y).all())
    _, longer = DeepFool().smallest(model, x, y)
    torch.testing.assert_close(longer, exact * 1.02, rtol=1e-9, atol=0)


def test_carlini_wagner_comes_to_the_exact_distance_of_linear_models() -> None:
    model, x, y, exact = linear(2)
    _, coarse = CarliniWagner(steps=30, searches=3, weight=0.1, step_size=0.02).smallest(model, x, y)
    _, fine = CarliniWagner(steps=400, searches=9, weight=0.1, step_size=0.002).smallest(model, x, y)
    assert bool((fine >= exact * (1 - 1e-9)).all())
    assert float((fine / exact).amax()) < 1.01
    assert float((fine / exact).mean()) <= float((coarse / exact).mean())


@pytest.mark.parametrize("attack", [DeepFool(), SMALL], ids=lambda attack: attack.name)
def test_points_are_images_that_break_the_network(attack: MinimalNorm) -> None:
    model = small()
    x, y = images(model, 10)
    y[0] = (y[0] + 1) % 10  # wrong without an attack
    state = torch.random.get_rng_state()
    points, norms = attack.smallest(model, x, y)
    assert (float(norms[0]), torch.equal(points[0], x[0])) == (0.0, True)
    assert float(points.amin()) >= 0
    assert float(points.amax()) <= 1
    with torch.no_grad():
        broken = model(points).argmax(1) != y
    assert torch.equal(broken, norms.isfinite())
    assert int(broken.sum()) >= 9
    assert torch.equal(torch.random.get_rng_state(), state)
    parts = [attack.smallest(model, x[rows], y[rows])[1] for rows in (slice(0, 4), slice(4, 10))]
    torch.testing.assert_close(torch.cat(parts), norms)  # examples do not mix
    assert len(attack(model, x[:0], y[:0])) == 0


def test_deepfool_stays_in_the_box_of_pixels_where_images_have_black_and_white() -> None:
    test = DataConfig("digits", test_examples=60).load().test
    x, y = test.images.float() / 255, test.labels
    _, norms = DeepFool().smallest(make(), x, y)
    assert bool(norms.isfinite().all())
    with torch.no_grad():
        reached = make()(PGD(0.05, norm="L2", step_size=0.01)(make(), x, y)).argmax(1) != y
    assert bool((norms[reached] <= 0.05 * 1.1).all())


def test_shorter_than_what_finds_a_way_in_a_ball() -> None:
    model = small()
    x, y = images(model, 20)
    _, norms = SMALL.smallest(model, x, y)
    with torch.no_grad():
        reached = model(PGD(0.05, norm="L2", step_size=0.01)(model, x, y)).argmax(1) != y
    assert int(reached.sum()) > 0
    assert bool((norms[reached] <= 0.05 * 1.05).all())


def test_within_a_radius_it_is_an_attack_as_any_other() -> None:
    model = small()
    x, y = images(model, 20)
    _, norms = DeepFool().smallest(model, x, y)
    eps = float(norms.median()) * 1.001
    attack = DeepFool(eps)
    x_adv = attack(model, x, y)
    assert float(threat_model("L2", eps).distance(x_adv, x).amax()) <= eps + 1e-6
    outcome = attack.run(model, x, y, batch_size=7, keep_examples=True)
    assert torch.equal(outcome.flags, norms > eps)
    assert outcome.norms is not None
    torch.testing.assert_close(outcome.norms, norms.double(), rtol=1e-5, atol=1e-6)
    assert outcome.x_adv is not None
    torch.testing.assert_close(outcome.x_adv[~outcome.flags], x_adv[~outcome.flags])
    states: list[dict[str, Tensor]] = []
    attack.run(model, x, y, batch_size=7, on_batch=states.append)
    again = attack.run(model, x, y, batch_size=7, state=states[0])
    assert again.norms is not None
    assert torch.equal(again.norms, outcome.norms)


def test_what_a_quick_model_alone_gets_wrong_is_no_find() -> None:
    model = small()
    x, y = images(model, 8)
    quick = FastModel(model, dtype=torch.bfloat16)
    points, norms = DeepFool(overshoot=0.001).smallest(quick, x, y)
    with torch.no_grad():
        assert torch.equal(model(points).argmax(1) != y, norms.isfinite())
    assert bool(norms.isfinite().all())


def test_an_evaluation_tells_median_and_curve(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = DataConfig("digits", test_examples=40)
    found = evaluate(make(), data.load(), attacks="deepfool", norm="L2", eps=0.05, display=False)
    (row,) = found.attacks
    assert row.norms is not None
    told = row.details["smallest"]
    right = row.norms[row.norms > 0].sort().values
    assert told["median"] == pytest.approx(float(right[(len(right) + 1) // 2 - 1]))
    assert told["curve"][0]["robust_acc"] == found.clean_acc
    assert [point["robust_acc"] for point in told["curve"]] == [
        pytest.approx(float((row.norms > point["eps"]).double().mean())) for point in told["curve"]
    ]
    assert told["curve"][-1]["robust_acc"] == 0
    assert row.robust_acc == float((row.norms > 0.05).double().mean())
    assert "smallest L2 perturbation: median" in str(found)

    place = ["--data.dataset", "digits", "--data.test-examples", "20", "--runs-dir", str(tmp_path), "--device", "cpu"]
    command = ["evaluate", "python:linear_digits:make", "--attacks", "fgsm,deepfool", *place]
    assert main([*command, "--norm", "L2", "--eps", "0.05"]) == 0
    assert "deepfool: smallest L2 perturbation: median" in capsys.readouterr().out
    run = Run(next((tmp_path / "evaluate").iterdir()))
    assert run.load_tensors("norms.safetensors")["deepfool"].shape == (20,)
    assert "from the smallest perturbations" in (run.path / "report.html").read_text()
    assert json.loads((run.path / "result.json").read_text())["attacks"][1]["smallest"]["found"] > 0
    assert main([*command, "--eps", "0.05"]) == 2
    assert "norm: got 'Linf'; expected L2, in which deepfool measures" in capsys.readouterr().err


def test_bad_values_are_refused_by_name() -> None:
    for wrong in ({"eps": -1.0}, {"eps": 255.0}, {"norm": "Linf"}, {"steps": 0}, {"overshoot": -0.1}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            DeepFool(**wrong)  # type: ignore[arg-type]
    for wrong in ({"searches": 0}, {"step_size": 0.0}, {"weight": -1.0}, {"confidence": -1.0}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            CarliniWagner(**wrong)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"eps: got inf.*deepfool"):
        evaluate(make(), DataConfig("digits", test_examples=5).load(), attacks=DeepFool(), display=False)
    (attack,) = parse_attacks("cw-l2", threat_model("L2", 0.5))
    assert attack == CarliniWagner(0.5)
    assert CarliniWagner().eps == math.inf
