"""Attacks that search in low precision, or on a compiled network: what counts is the plain network's word."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from advrush import PGD, DataConfig, EvaluateConfig, evaluate
from advrush.attacks import APGD, AutoAttack, FastModel, Square
from advrush.attacks.ensemble.cascade import cascade
from advrush.attacks.passes.counting import counting
from advrush.errors import ConfigError, ModelContractError
from advrush.evaluation import measure
from linear_digits import make


def problem(count: int = 48) -> tuple[nn.Module, Tensor, Tensor]:
    """Return a trained network and digits that it mostly gets right."""
    test = DataConfig("digits").load().test
    return make(), test.images[:count].float() / 255, test.labels[:count]


class Boastful(FastModel):
    """Its quick passes get every label wrong: each example seems broken before the attack has moved it."""

    def forward(self, x: Tensor) -> Tensor:
        return -super().forward(x)


@pytest.mark.parametrize("name", ["fab_t", "apgd_ce"])
def test_what_only_the_quick_network_gets_wrong_does_not_count(name: str) -> None:
    model, x, y = problem()
    attack = AutoAttack(eps=0.05, version="custom", attacks=(name,), order="example")
    honest, fooled = (attack.run(net, x, y, keep_examples=True) for net in (model, Boastful(model)))
    assert torch.equal(fooled.clean, honest.clean)
    assert 0 < int(honest.flags.sum()) < int(honest.clean.sum())
    # Each claim failed, so each example was attacked a second time, on the plain network. FAB's first round draws
    # nothing, so that it finds the same; APGD starts elsewhere, and what it finds must be wrong on the plain network.
    if name == "fab_t":
        assert torch.equal(fooled.flags, honest.flags)
    broken = fooled.clean & ~fooled.flags
    assert broken.sum() > 0.8 * (honest.clean & ~honest.flags).sum()
    assert (model(fooled.ledger.x_adv[broken]).argmax(dim=1) != y[broken]).all()


@pytest.mark.parametrize("attack", [APGD(0.1, steps=10), Square(0.1, queries=60)], ids=lambda a: a.name)
def test_every_broken_example_is_broken_in_float32(attack: APGD | Square) -> None:
    model, x, y = problem()
    x_adv = attack(FastModel(model, dtype=torch.bfloat16), x, y)
    moved = (x_adv != x).flatten(1).any(dim=1)
    assert moved.any() and float((x_adv - x).abs().max()) <= 0.1 + 1e-6
    assert (model(x_adv[moved]).argmax(dim=1) != y[moved]).all()


def test_second_attempts_do_not_depend_on_batches() -> None:
    model, x, y = problem()

    def flags(batch_size: int) -> Tensor:
        short = [APGD(0.05, steps=5), Square(0.05, queries=30)]
        return cascade(Boastful(model), x, y, attacks=short, batch_size=batch_size, order="example").broken_by

    assert torch.equal(flags(48), flags(7))


def test_quick_and_exact_passes_are_counted() -> None:
    model, x, _ = problem(6)
    quick = FastModel(model, dtype=torch.bfloat16)
    with counting(quick) as passes:
        quick(x.requires_grad_()).sum().backward()
        quick.exact(x.detach())
    assert (passes.forwards, passes.backwards) == (12, 6)


def test_compiled_passes_find_what_plain_ones_find(monkeypatch: pytest.MonkeyPatch) -> None:
    # the graph is captured and run, without the minutes that generating code for it takes
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))
    model, x, y = problem(32)
    quick = FastModel(model, compile=True)
    attack = APGD(0.1, steps=5)
    assert torch.equal(attack(quick, x, y), attack(model, x, y))


def test_plain_attacks_ask_the_exact_network() -> None:
    model, x, y = problem()
    boastful, right = Boastful(model), model(x).argmax(dim=1) == y
    x, y = x[right], y[right]
    found = measure(boastful, x, y, attacks=[PGD(eps=0.05)])
    x_adv = PGD(eps=0.05)(boastful, x, y)
    assert found.clean.all() and (boastful(x_adv).argmax(dim=1) != y).all()
    assert torch.equal(found.attacks[0].flags, model(x_adv).argmax(dim=1) == y)
    assert found.attacks[0].flags.any()


class Viewing(nn.Module):
    """Flattens with `view`, as much published code does, which channels_last activations refuse."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.linear = nn.Conv2d(3, 4, 3), nn.Linear(4 * 6 * 6, 10)

    def forward(self, x: Tensor) -> Tensor:
        z: Tensor = self.linear(self.convolution(x).view(len(x), -1))
        return z


def test_models_that_take_the_plain_layout_alone_get_it() -> None:
    torch.manual_seed(0)
    model, x, y = Viewing(), torch.rand(6, 3, 8, 8), torch.randint(10, (6,))
    with pytest.raises(RuntimeError, match="view"):
        model(x.to(memory_format=torch.channels_last))
    assert torch.equal(FastModel(model, channels_last=True)(x), model(x))
    assert float((PGD(eps=0.05)(model, x, y) - x).abs().max()) > 0.04
    with pytest.raises(ModelContractError, match="shape"):
        PGD(eps=0.05)(model, torch.rand(6, 3, 9, 9), y)


def trained(model: nn.Module) -> nn.Module:
    """Return the model in eval mode, after some batches have moved its statistics."""
    torch.manual_seed(2)
    for _ in range(3):
        model(torch.rand(32, 3, 9, 9) * 2 + 0.3)
    return model.eval()


def normed(extra: nn.Module | None = None) -> nn.Module:
    """Return a network in eval mode, batch norms behind and before convolutions."""
    torch.manual_seed(1)
    body = [nn.BatchNorm2d(3), nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, 2)]
    tail = [nn.BatchNorm2d(8, affine=False), nn.ReLU(), nn.Flatten(), nn.Linear(72, 10)]
    return trained(nn.Sequential(*body, *([extra] if extra is not None else []), *tail))


def test_folded_norms_change_logits_by_rounding_alone() -> None:
    model, x = normed().double(), torch.rand(7, 3, 9, 9, dtype=torch.float64, requires_grad=True)
    quick = FastModel(model, fold=True)
    logits = quick(x)
    assert isinstance(quick.folded, nn.Module)
    kept = [name for name, module in quick.folded.named_modules() if isinstance(module, nn.BatchNorm2d)]
    assert len(kept) == 1, "only the norm that no convolution feeds is left"
    torch.testing.assert_close(logits, model(x), rtol=1e-12, atol=1e-12)
    (slope,) = torch.autograd.grad(logits.square().sum(), x)
    torch.testing.assert_close(slope, torch.autograd.grad(model(x).square().sum(), x)[0], rtol=1e-10, atol=1e-10)
    assert sum(isinstance(module, nn.BatchNorm2d) for module in model.children()) == 3, "the model itself is left alone"


class Both(nn.Module):
    """Takes the convolution's output twice: with its norm and without."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.norm, self.linear = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 10)

    def forward(self, x: Tensor) -> Tensor:
        z = self.convolution(x)
        logits: Tensor = self.linear((z + self.norm(z)).mean(dim=(2, 3)))
        return logits


class Shared(nn.Module):
    """Uses one convolution twice, each time with another norm."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.norms = nn.Conv2d(3, 3, 3, padding=1), nn.ModuleList([nn.BatchNorm2d(3) for _ in "ab"])
        self.linear = nn.Linear(3, 10)

    def forward(self, x: Tensor) -> Tensor:
        for norm in self.norms:
            x = norm(self.convolution(x))
        logits: Tensor = self.linear(x.mean(dim=(2, 3)))
        return logits


class Noise(nn.Module):
    """Adds noise in eval mode too, as randomized defences do."""

    def forward(self, x: Tensor) -> Tensor:
        return x + 0.1 * torch.rand(1)


class Choosy(nn.Module):
    """Looks at its input before it decides what to do, which no tracing can follow."""

    def forward(self, x: Tensor) -> Tensor:
        return x if float(x.detach().sum()) > 0 else -x


def test_a_convolution_used_twice_is_folded_with_each_of_its_norms() -> None:
    model, x = trained(Shared()), torch.rand(5, 3, 9, 9)
    quick = FastModel(model, fold=True)
    torch.testing.assert_close(quick(x), model(x), rtol=1e-5, atol=1e-5)
    assert quick.folded is not None


def test_a_norm_whose_convolution_is_read_twice_is_not_folded() -> None:
    model, x = trained(Both()), torch.rand(5, 3, 9, 9)
    quick = FastModel(model, fold=True)
    assert torch.equal(quick(x), model(x))
    left = quick if quick.folded is None else quick.folded
    assert any(isinstance(module, nn.BatchNorm2d) for module in left.modules())


@pytest.mark.parametrize(
    "model",
    [normed(Noise()), normed(Choosy()), make()],
    ids=["random", "looks at its input", "no norm"],
)
def test_models_that_cannot_be_folded_are_left_as_they_are(model: nn.Module) -> None:
    side = 8 if isinstance(next(iter(model.children())), nn.Flatten) else 9
    x = torch.rand(5, 1 if side == 8 else 3, side, side)
    quick, state = FastModel(model, fold=True), torch.get_rng_state()
    torch.manual_seed(3)
    mine = quick(x)
    torch.manual_seed(3)
    assert torch.equal(mine, model(x))
    assert quick.folded is None
    torch.set_rng_state(state)


def test_nothing_is_folded_while_the_model_trains() -> None:
    model, x = normed().train(), torch.rand(6, 3, 9, 9)
    quick = FastModel(model, fold=True)
    quick(x)
    assert quick.folded is None
    model.eval()
    quick(x)
    assert quick.folded is not None
    torch.testing.assert_close(quick(x), model(x), rtol=1e-5, atol=1e-5)


def test_the_result_names_both_precisions(tmp_path: Path) -> None:
    config = EvaluateConfig(data=DataConfig("digits", test_examples=20), attacks=("fgsm",), precision="bfloat16")
    run = evaluate(make(), config, runs_dir=tmp_path, display=False)
    assert run.result()["precision"] == {"searched": "bfloat16", "verified": "float32"}


def test_low_precision_needs_float32_to_verify() -> None:
    with pytest.raises(ConfigError, match="precision"):
        EvaluateConfig(precision="bfloat16", dtype="float64")
