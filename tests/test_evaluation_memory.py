"""An evaluation that runs out of memory goes on with smaller pieces; finished attacks are on disk before the next."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

import linear_digits
from advrush.attacks import APGD, FAB, FGSM, MIFGSM, PGD, Attack, AutoAttack, Square
from advrush.attacks.passes.memory import within_memory
from advrush.data import DataConfig
from advrush.evaluation import EvaluateConfig, evaluate, measure
from advrush.evaluation.sweep import RadiusSweep
from attack_models import images, small


class Cramped(nn.Module):
    """A model that has memory for so many examples at once, and for others raises what the allocators raise."""

    def __init__(self, model: nn.Module, room: int, error: Exception | None = None) -> None:
        super().__init__()
        self.model, self.room, self.most = model, room, 0
        self.error = error or torch.OutOfMemoryError("CUDA out of memory")

    def forward(self, x: Tensor) -> Tensor:
        if len(x) > self.room:
            raise self.error
        self.most = max(self.most, len(x))
        logits: Tensor = self.model(x)
        return logits


ATTACKS: list[Attack] = [
    FGSM(eps=0.02),
    PGD(eps=0.02, steps=3, restarts=2),
    MIFGSM(eps=0.02, steps=3),
    APGD(eps=0.02, steps=5),
    FAB(eps=0.02, steps=4),
    FAB(eps=0.02, steps=4, targets=2),
    Square(eps=0.02, queries=20),
    AutoAttack(eps=0.02, version="custom", attacks=("apgd_ce", "fab"), batch_size=20, order="example"),
]


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda a: a.name)
def test_out_of_memory_is_retried_with_smaller_pieces_at_the_same_verdicts(attack: Attack) -> None:
    plain = small().double()
    x, y = images(small(), 20)
    x = x.double()
    cramped = Cramped(plain, 9)
    expected = measure(plain, x, y, attacks=[attack], batch_size=20)
    found = measure(cramped, x, y, attacks=[attack], batch_size=20)
    assert torch.equal(found.clean, expected.clean)
    assert torch.equal(found.attacks[0].flags, expected.attacks[0].flags)
    assert 0 < int(found.attacks[0].flags.sum()) < 20, "the attack decides nothing here"
    assert 1 < cramped.most <= 9
    warnings = found.attacks[0].details["warnings"]
    assert [text for text in warnings if "out of memory with 20 examples at once; went on with 10" in text]
    assert [text for text in warnings if "out of memory with 10 examples at once; went on with 5" in text]
    assert not any("out of memory" in text for text in expected.attacks[0].details.get("warnings", ()))


def test_the_cpus_own_words_are_understood() -> None:
    model, (x, y) = small(), images(small(), 20)
    error = RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried")
    found = measure(Cramped(model, 10, error), x, y, attacks=[PGD(steps=2)], batch_size=20)
    assert torch.equal(found.clean, measure(model, x, y, attacks=[PGD(steps=2)], batch_size=20).clean)


def test_what_fits_is_remembered_by_the_next_attack() -> None:
    x, y = images(small(), 20)
    found = measure(Cramped(small(), 10), x, y, attacks=[FGSM(), PGD(steps=2)], batch_size=20)
    first, second = (" ".join(row.details.get("warnings", ())) for row in found.attacks)
    assert "went on with 10" in first
    assert "out of memory" not in second


def test_curves_are_retried_too() -> None:
    x, y = images(small(), 20)
    sweep = RadiusSweep(PGD(steps=2), (0.01, 0.05))
    expected = measure(small(), x, y, attacks=[FGSM()], sweeps=[sweep], batch_size=20)
    found = measure(Cramped(small(), 10), x, y, attacks=[FGSM()], sweeps=[sweep], batch_size=20)
    assert all(torch.equal(found.sweeps[name], flags) for name, flags in expected.sweeps.items())


def test_another_error_is_left_alone_and_so_is_one_that_does_not_go_away() -> None:
    def fail() -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        within_memory(fail, 8)
    x, y = images(small(), 20)
    with pytest.raises(RuntimeError, match="shapes cannot"):
        measure(Cramped(small(), 10, RuntimeError("shapes cannot")), x, y, attacks=[FGSM()], batch_size=20)


def test_each_finished_attack_is_on_disk_before_the_next_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = DataConfig(dataset="digits", test_examples=24)
    config = EvaluateConfig(data=data, attacks=("fgsm", "mifgsm3"), eps=0.03, batch_size=12)
    whole = evaluate(linear_digits.make(), config, runs_dir=tmp_path / "whole", device="cpu", display=False)

    class Killed(BaseException):
        pass

    def stop(*_: object, **options: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(MIFGSM, "attack_batch", stop)
        with pytest.raises(Killed):
            evaluate(linear_digits.make(), config, runs_dir=tmp_path / "part", device="cpu", display=False)
    (path,) = (tmp_path / "part" / "evaluate").glob("*")
    kept = str(torch.load(path / "last.pt", weights_only=True))
    assert "fgsm" in kept
    with monkeypatch.context() as patched:
        again, attacked = FGSM.perturb, []

        def note(attack: FGSM, model: nn.Module, x: Tensor, y: Tensor, **options: object) -> Tensor:
            attacked.append(len(x))
            return again(attack, model, x, y)

        patched.setattr(FGSM, "perturb", note)
        run = evaluate(linear_digits.make(), config, runs_dir=tmp_path / "part", device="cpu", display=False)
    assert 12 not in attacked, "what is on disk was attacked again"  # the report's ten pictures are
    first, second = (load_file(each.path / "flags.safetensors") for each in (whole, run))
    assert all(torch.equal(first[name], second[name]) for name in ("clean", "fgsm", "mifgsm3"))
