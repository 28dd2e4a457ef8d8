"""Evaluation: intervals, flags, counting, resume, targets."""

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from advrush.attacks import FGSM, PGD, AutoAttack, Duo, Ledger
from advrush.attacks.passes.counting import counting
from advrush.data import DataConfig
from advrush.errors import AdvrushError, ConfigError, RunError
from advrush.evaluation import EvaluateConfig, evaluate, find_target, measure, wilson
from advrush.evaluation.progress import Progress
from advrush.evaluation.targets import weights_digest

DIGITS = DataConfig(dataset="digits", train_examples=100, test_examples=60)


def model(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))


def examples(count: int = 30) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(count, 1, 8, 8, generator=generator)
    return x, model()(x).argmax(1)  # every label as the model sees it, so that there is something to break


@pytest.mark.parametrize(
    ("correct", "total", "low", "high"),
    [(0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634), (10, 10, 0.7225, 1.0), (500, 1000, 0.4691, 0.5309)],
)
def test_wilson_interval_has_its_known_values(correct: int, total: int, low: float, high: float) -> None:
    assert wilson(correct, total) == pytest.approx((low, high), abs=1e-4)


def test_flags_are_those_of_the_attacked_examples() -> None:
    net, (x, y) = model(), examples()
    y[:5] = (y[:5] + 1) % 10
    attack = FGSM(eps=0.05)
    found = measure(net, x, y, attacks=[attack], batch_size=7)
    expected = net(attack(net, x, y)).argmax(1) == y
    expected[:5] = False
    assert torch.equal(found.clean, torch.arange(30) >= 5)
    assert torch.equal(found.attacks[0].flags, expected)
    assert 0 < found.robust_acc < found.clean_acc == 25 / 30
    assert found.attacks[0].backwards == 25
    assert found.attacks[0].forwards == 50


def test_worst_case_is_what_every_attack_left() -> None:
    net, (x, y) = model(), examples()
    found = measure(net, x, y, attacks=[FGSM(eps=0.02), PGD(eps=0.04, steps=5)])
    assert torch.equal(found.worst_flags(), found.clean & found.attacks[0].flags & found.attacks[1].flags)
    assert found.to_dict()["worst_case"]["robust_acc"] == found.robust_acc


def test_interrupted_evaluation_goes_on_with_the_same_flags() -> None:
    net, (x, y) = model(), examples()
    attacks = [PGD(eps=0.05, steps=3), FGSM(eps=0.05)]
    whole = measure(net, x, y, attacks=attacks, batch_size=4)
    saved: list[Progress] = []
    seen: list[str] = []

    def interrupt(progress: Progress, name: str) -> None:
        saved.append(progress)
        seen.append(name)
        if len(seen) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure(net, x, y, attacks=attacks, batch_size=4, on_batch=interrupt)
    seen.extend([""] * 10)
    before = len(seen)
    resumed = measure(net, x, y, attacks=attacks, batch_size=4, progress=saved[2], on_batch=interrupt)
    for one, other in zip(whole.attacks, resumed.attacks, strict=True):
        assert torch.equal(one.flags, other.flags)
        assert (one.forwards, one.backwards) == (other.forwards, other.backwards), "the cost is that of both parts"
    batches = 2 * -(-int(whole.clean.sum()) // 4)
    assert len(seen) - before == batches - 3, "what was done is not done again"


def test_counting_leaves_no_hooks() -> None:
    net, (x, _) = model(), examples()
    with counting(net) as passes:
        net(x.requires_grad_(True)).sum().backward()
    assert (passes.forwards, passes.backwards) == (30, 30)
    net(x)
    assert passes.forwards == 30


def test_stage_writes_flags_examples_and_result(tmp_path: Path) -> None:
    config = EvaluateConfig(data=DIGITS, attacks=("fgsm", "pgd3"), eps=0.1, batch_size=25)
    run = evaluate(model(), config, runs_dir=tmp_path, device="cpu", display=False)
    result, flags = run.result(), run.load_tensors("flags.safetensors")
    assert set(flags) == {"clean", "fgsm", "pgd3"}
    assert result["examples"] == 60
    assert result["clean_acc"] == flags["clean"].double().mean().item()
    assert [row["name"] for row in result["attacks"]] == ["fgsm", "pgd3"]
    assert result["threat_model"] == {"norm": "Linf", "eps": 0.1}
    pictures = run.load_tensors("examples.safetensors")
    assert set(pictures) == {"x", "x_adv", "y", "pred", "pred_adv"}
    assert (pictures["x"] - pictures["x_adv"]).abs().max() <= 0.1 + 1e-6
    again = evaluate(model(), config, runs_dir=tmp_path, device="cpu", display=False)
    assert again.path == run.path
    other = evaluate(model(1), config, runs_dir=tmp_path, device="cpu", display=False)
    assert other.path != run.path


def test_pictures_of_an_ensemble_show_what_it_broke(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    attacked: list[int] = []
    own = Duo.__call__
    monkeypatch.setattr(Duo, "__call__", lambda self, *a, **b: attacked.append(len(a[1])) or own(self, *a, **b))
    config = EvaluateConfig(data=DIGITS, attacks=("apgd_duo",), eps=0.03, batch_size=25)
    run = evaluate(model(), config, runs_dir=tmp_path, device="cpu", display=False)
    pictures, flags = run.load_tensors("examples.safetensors"), run.load_tensors("flags.safetensors")
    robust = flags["apgd_duo"][flags["clean"].nonzero().flatten()][:10]
    assert robust.any() and not robust.all()
    assert attacked == [int((~robust).sum())]
    assert torch.equal(pictures["x_adv"][robust], pictures["x"][robust])
    assert torch.equal(pictures["pred_adv"][robust], pictures["y"][robust])
    assert (pictures["pred_adv"][~robust] != pictures["y"][~robust]).all()


def test_python_target_is_imported_from_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "my_model.py").write_text(
        "from torch import nn\ndef make():\n    return nn.Flatten()\ndef wrong():\n    return 3\n"
    )
    target = find_target("python:my_model:make")
    assert target.label == "my_model:make"
    for text, message in (
        ("python:my_model:maker", "has no maker"),
        ("python:no_such_module_here:make", "cannot import no_such_module_here"),
        ("python:my_model", "expected python:MODULE:FACTORY"),
        ("python:my_model:wrong", "factory of an nn.Module"),
    ):
        with pytest.raises(AdvrushError, match=message):
            find_target(text)


def test_target_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no such run or weights file"):
        find_target(str(tmp_path / "nothing"))


def test_weights_digest_sees_every_tensor() -> None:
    net = model()
    before = weights_digest(net)
    with torch.no_grad():
        net[3].bias[0] += 1e-6  # type: ignore[index, union-attr]
    assert weights_digest(net) != before


def test_unknown_attack_is_refused_before_anything_is_computed(tmp_path: Path) -> None:
    make: Callable[[], object] = lambda: evaluate(  # noqa: E731
        model(), EvaluateConfig(data=DIGITS, attacks=("pdg20",)), runs_dir=tmp_path, device="cpu"
    )
    with pytest.raises(ConfigError, match="unknown attack 'pdg20'"):
        make()
    assert not list(tmp_path.iterdir())


def through_a_file(state: dict[str, Any]) -> dict[str, Any]:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    found: dict[str, Any] = torch.load(buffer, weights_only=True)
    return found


def test_ensemble_resumes_within_an_attack_and_tells_what_broke_what() -> None:
    net, (x, y) = model(), examples(24)
    attack = AutoAttack(eps=0.04, version="custom", attacks=("apgd_ce", "apgd_t"), batch_size=8)
    whole = measure(net, x, y, attacks=[attack]).attacks[0]
    saved: list[dict[str, Any]] = []

    def interrupt(progress: Progress, name: str) -> None:
        saved.append(progress.state_dict())
        if len(saved) == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure(net, x, y, attacks=[attack], on_batch=interrupt)
    calls: list[str] = []
    progress = Progress.load(through_a_file(saved[-1]), len(x), "last.pt")
    resumed = measure(
        net, x, y, attacks=[attack], progress=progress, on_batch=lambda _, name: calls.append(name)
    ).attacks[0]
    assert calls, "something was left to do"
    assert torch.equal(whole.flags, resumed.flags)
    assert whole.broken_by == resumed.broken_by
    rows = whole.details["waterfall"]
    assert [row["name"] for row in rows] == ["clean", "apgd_ce", "apgd_t"]
    assert rows[0]["robust_acc"] >= rows[1]["robust_acc"] >= rows[2]["robust_acc"] == whole.robust_acc
    assert whole.robust_acc < 1.0


SOUND: dict[str, Any] = {
    "clean": torch.ones(3, dtype=torch.bool),
    "attacks": {"fgsm": Ledger.begin(torch.tensor([-1, -1, -2], dtype=torch.int16), 1, None).state_dict()},
    "sweeps": {"pgd20": torch.ones(3, dtype=torch.int8)},
}


def test_sound_progress_is_read() -> None:
    assert Progress.load(SOUND, 3, "last.pt").attacks["fgsm"].flags().tolist() == [True, True, False]


def with_record(**changes: Any) -> dict[str, Any]:
    return {**SOUND, "attacks": {"fgsm": {**SOUND["attacks"]["fgsm"], **changes}}}


@pytest.mark.parametrize(
    "damage",
    [
        [], {}, {"clean": torch.ones(3)}, {**SOUND, "clean": torch.ones(4, dtype=torch.bool)}, {**SOUND, "more": 1},
        {**SOUND, "attacks": {"fgsm": {}}}, {**SOUND, "sweeps": {"pgd20": "no"}}, {**SOUND, "attacks": [1]},
        with_record(broken_by=torch.ones(3)), with_record(broken_by=torch.full((3,), 9, dtype=torch.int16)),
        with_record(position=torch.full((3,), -1)),
    ],
)  # fmt: skip
def test_progress_of_something_else_is_refused(damage: Any) -> None:
    with pytest.raises(RunError, match=r"last\.pt: not the progress of this evaluation"):
        Progress.load(damage, 3, "last.pt")
