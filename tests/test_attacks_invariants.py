"""What holds for every attack: the ball, the pixels' range, the seed, and a model left as it was."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from advrush.attacks import (
    APGD,
    APGDT,
    FAB,
    FGSM,
    L2,
    MIFGSM,
    PGD,
    Attack,
    AutoAttack,
    Linf,
    Square,
    parse_attacks,
    threat_model,
)
from advrush.errors import ConfigError, DataError
from attack_models import images, small

ATTACKS: list[Attack] = [
    FGSM(),
    PGD(steps=3),
    PGD(steps=2, restarts=2, loss="margin", start="normal"),
    PGD(steps=2, loss="dlr", start="none"),
    MIFGSM(steps=3),
    APGD(steps=6),
    APGD(steps=5, loss="dlr", restarts=2, eot_iter=2),
    APGDT(steps=5, targets=3),
    FAB(steps=4),
    FAB(steps=4, targets=3, restarts=2),
    Square(queries=30),
    AutoAttack(eps=0.3, version="custom", attacks=("apgd-ce",), batch_size=3),
]
NAMES = [f"{number}-{attack.name}" for number, attack in enumerate(ATTACKS)]


@pytest.mark.parametrize("attack", ATTACKS, ids=NAMES)
@settings(max_examples=6, deadline=None)
@given(
    norm=st.sampled_from(["Linf", "L2"]),
    eps=st.sampled_from([1e-3, 0.031, 0.5]),
    classes=st.sampled_from([2, 3, 4, 12]),
    channels=st.sampled_from([1, 3]),
    seed=st.integers(0, 3),
)
def test_never_leaves_the_ball(attack: Attack, norm: str, eps: float, classes: int, channels: int, seed: int) -> None:
    attack = replace(attack, eps=eps, norm=norm, seed=seed)  # type: ignore[type-var]
    model = small(classes, channels, seed, size=7)
    x, y = images(model, 6, channels, seed, size=7)
    x_adv = attack(model, x, y)
    assert x_adv.shape == x.shape
    assert x_adv.dtype == x.dtype
    assert not x_adv.requires_grad
    assert float(x_adv.min()) >= 0
    assert float(x_adv.max()) <= 1
    assert float(threat_model(norm, eps).distance(x_adv, x).max()) <= eps + 1e-6  # type: ignore[arg-type]


@pytest.mark.parametrize("attack", ATTACKS, ids=NAMES)
def test_leaves_everything_as_it_was(attack: Attack) -> None:
    model = small()
    x, y = images(model)
    model.train()
    model[1].eval()  # type: ignore[index]
    next(model.parameters()).requires_grad_(False)
    list(model.parameters())[-1].grad = torch.ones(10)
    modes = [module.training for module in model.modules()]
    flags = [parameter.requires_grad for parameter in model.parameters()]
    state = {name: value.clone() for name, value in model.state_dict().items()}
    before, random_state = x.clone(), torch.random.get_rng_state()
    attack(model, x, y)
    assert [module.training for module in model.modules()] == modes
    assert [parameter.requires_grad for parameter in model.parameters()] == flags
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in list(model.parameters())[:-1])
    assert torch.equal(list(model.parameters())[-1].grad, torch.ones(10))  # type: ignore[arg-type]
    assert torch.equal(torch.random.get_rng_state(), random_state)
    assert torch.equal(x, before)
    assert not x.requires_grad


@pytest.mark.parametrize("attack", ATTACKS, ids=NAMES)
def test_same_seed_same_examples(attack: Attack) -> None:
    model = small()
    x, y = images(model)
    first = attack(model, x, y)
    torch.rand(5)
    assert torch.equal(attack(model, x, y), first)
    assert hash(attack) == hash(replace(attack))  # type: ignore[type-var]


@pytest.mark.parametrize("attack", [PGD(steps=3), APGD(steps=5), Square(eps=0.1)], ids=lambda a: a.name)
def test_another_seed_gives_other_examples(attack: Attack) -> None:
    model = small()
    x, y = images(model)
    assert not torch.equal(replace(attack, seed=1)(model, x, y), attack(model, x, y))  # type: ignore[type-var]


@pytest.mark.parametrize("attack", ATTACKS, ids=NAMES)
def test_a_fragile_model_breaks(attack: Attack) -> None:
    model = small()
    x, y = images(model)
    changes = {"eps": 0.3, "steps": 20, "step_size": 0.1, "targets": 9, "queries": 200}
    known = {name: value for name, value in changes.items() if getattr(attack, name, 0)}
    with torch.no_grad():  # as many a caller has it
        left = (model(replace(attack, **known)(model, x, y)).argmax(1) == y).sum()  # type: ignore[type-var]
    assert int(left) <= (3 if attack.name == "fgsm" else 0)


def test_fgsm_is_one_signed_step() -> None:
    model = small().double()
    x, y = images(model.float())
    model, x = model.double(), x.double().requires_grad_(True)
    (slope,) = torch.autograd.grad(nn.functional.cross_entropy(model(x), y), x)
    expected = (x + 0.05 * slope.sign()).clamp(0, 1).detach()
    torch.testing.assert_close(FGSM(eps=0.05)(model, x.detach(), y), expected)


def test_perturb_takes_its_starts_from_the_generator() -> None:
    model = small()
    x, y = images(model)
    attack = PGD(steps=1, start="normal")

    def perturb(seed: int) -> Tensor:
        return attack.perturb(model, x, y, generator=torch.Generator().manual_seed(seed))

    assert torch.equal(perturb(1), perturb(1))
    assert not torch.equal(perturb(1), perturb(2))


@pytest.mark.parametrize(
    "attack", [PGD(steps=2), MIFGSM(steps=2), APGD(steps=4), Square(eps=0.1)], ids=lambda a: a.name
)
def test_perturb_is_the_call_without_checks(attack: Attack) -> None:
    model = small()
    x, y = images(model)
    assert torch.equal(attack.perturb(model, x, y), attack(model, x, y))  # type: ignore[attr-defined]
    with pytest.raises(DataError, match="expected pixels"):
        attack(model, 255 * x, y)
    attack.perturb(model, 255 * x, y)  # type: ignore[attr-defined]


def test_an_attack_without_a_target_takes_no_targets() -> None:
    model = small()
    x, y = images(model)
    with pytest.raises(ConfigError, match="targets: got 'MIFGSM'"):
        MIFGSM(steps=2)(model, x, y, targets=(y + 1) % 10)


@pytest.mark.parametrize(
    "attack",
    [
        FGSM(), MIFGSM(steps=2), PGD(steps=2), PGD(steps=2, restarts=2), APGD(steps=4, restarts=2), APGDT(steps=4),
        FAB(steps=3, restarts=2), Square(queries=20), Square(queries=20, norm="L2", eps=0.2),
        AutoAttack(version="custom", attacks=("apgd_ce",)),
    ],
    ids=lambda attack: f"{attack.name}-{attack.norm}",
)  # fmt: skip
def test_a_training_loops_generator_gives_the_random_numbers(attack: Attack) -> None:
    model, random_state = small(), torch.random.get_rng_state()
    x, y = images(model)
    generator = torch.Generator().manual_seed(5)
    state = generator.get_state()
    first = attack(model, x, y, generator=generator)  # type: ignore[call-arg]
    second = attack(model, x, y, generator=generator)  # type: ignore[call-arg]
    generator.set_state(state)
    assert torch.equal(attack(model, x, y, generator=generator), first)  # type: ignore[call-arg]
    random = attack.name not in ("fgsm", "mifgsm2")
    assert torch.equal(generator.get_state(), state) != random
    if attack.name.startswith(("pgd", "apgd", "square")):
        assert not torch.equal(first, second)
    assert torch.equal(torch.random.get_rng_state(), random_state)


def test_threat_models_print_pixels() -> None:
    assert str(Linf(0.031)) == "Linf, eps 0.031 (7.9/255)"
    assert str(L2(0.5)) == "L2, eps 0.5 (127.5/255)"


def test_attacks_by_name() -> None:
    names = [attack.name for attack in parse_attacks("fgsm,PGD-20,pgd100x5,cw7,apgd-t,autoattack,quick", Linf(0.031))]
    assert names == ["fgsm", "pgd20", "pgd100x5", "cw7", "apgd_t", "autoattack", "apgd_duo"]
    (attack,) = parse_attacks(["pgd20"], Linf(0.031), seed=4)
    assert attack == PGD(eps=0.031, steps=20, step_size=0.01, seed=4)


@pytest.mark.parametrize(("word", "hint"), [("pdg20", "pgd20"), ("autoatack", "autoattack"), ("aqgd_ce", "apgd_ce")])
def test_unknown_names_are_refused_with_a_suggestion(word: str, hint: str) -> None:
    with pytest.raises(ConfigError, match=f"unknown attack '{word}'.*'{hint}'"):
        parse_attacks(f"fgsm,{word}", Linf(0.031))


@pytest.mark.parametrize("wrong", [{"eps": 0.0}, {"steps": 0}, {"step_size": -1.0}, {"loss": "l2"}, {"start": "x"}])
def test_bad_values_are_refused_by_name(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        PGD(**wrong)  # type: ignore[arg-type]
