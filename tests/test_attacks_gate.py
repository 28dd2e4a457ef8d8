"""What attacks and evaluations refuse, what they warn of, and what they leave alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from advrush.attacks import APGD, APGDT, FAB, FGSM, MIFGSM, PGD, Attack, AutoAttack, Duo, Square
from advrush.errors import AdvrushError, DataError, ModelContractError
from advrush.evaluation import measure

EPS = 0.1
ATTACKS: list[Attack] = [
    FGSM(EPS),
    PGD(EPS, steps=2, step_size=0.05),
    MIFGSM(EPS, steps=2),
    APGD(EPS, steps=2),
    APGDT(EPS, steps=2, targets=1),
    FAB(EPS, steps=2, targets=1),
    Square(EPS, queries=5),
    Duo(EPS),
    AutoAttack(EPS, version="custom", attacks=("apgd_ce", "square")),
]
every_attack = pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)


class Seen(nn.Module):
    """A linear classifier of 3 x 4 x 4 images into 3 classes, seen through `change` of (logits function, x)."""

    def __init__(self, change: Callable[[Any, Tensor], Any] = lambda f, x: f(x)) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.layer = nn.Linear(48, 3)
        self.change = change

    def forward(self, x: Tensor) -> Any:
        return self.change(lambda z: self.layer(z.flatten(1)), x)


def examples(count: int = 6) -> tuple[Tensor, Tensor]:
    x = torch.rand(count, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return x, Seen()(x).argmax(1)


def entries(attack: Attack, model: nn.Module, x: Tensor, y: Tensor) -> list[Callable[[], Any]]:
    """Return the doors through which an attack is used."""
    found = [lambda: attack(model, x, y), lambda: measure(model, x, y, attacks=[attack])]
    return [*found, lambda: attack.run(model, x, y)] if isinstance(attack, AutoAttack | Duo) else found


@every_attack
@pytest.mark.parametrize(
    "change",
    [
        lambda x: 255 * x,
        lambda x: 2 * x - 1,
        lambda x: (255 * x).byte(),
        lambda x: (255 * x).int(),
        lambda x: x.bfloat16(),
        lambda x: x.half(),
        lambda x: x / (x > 0.5),
        lambda x: torch.where(x > 0.9, torch.nan, x),
        lambda x: x.numpy(),
        lambda x: x.tolist(),
    ],
    ids=["0..255", "-1..1", "uint8", "int32", "bfloat16", "float16", "inf", "nan", "numpy", "list"],
)
def test_images_that_are_no_pixels_are_refused(attack: Attack, change: Callable[[Tensor], Tensor]) -> None:
    x, y = examples()
    for door in entries(attack, Seen(), change(x), y):
        with pytest.raises(DataError, match="images"):
            door()


@every_attack
@pytest.mark.parametrize(
    "change",
    [
        lambda y: y.double(),
        lambda y: y[:, None],
        lambda y: nn.functional.one_hot(y, 3),
        lambda y: y > 0,
        lambda y: y[:-1],
        lambda y: torch.cat([y, y]),
        lambda y: y - 3,
    ],
    ids=["float", "column", "one-hot", "bool", "too few", "too many", "negative"],
)
def test_labels_that_are_no_class_indices_are_refused(attack: Attack, change: Callable[[Tensor], Tensor]) -> None:
    x, y = examples()
    for door in entries(attack, Seen(), x, change(y)):
        with pytest.raises(DataError, match="labels"):
            door()


@every_attack
@pytest.mark.parametrize(
    "change",
    [
        lambda f, x: (f(x), None),
        lambda f, x: {"logits": f(x)},
        lambda f, x: f(x)[:, :1],
        lambda f, x: f(x)[..., None, None],
        lambda f, x: f(x).mean(0),
        lambda f, x: f(x) / 0,
        lambda f, x: f(x)[:, :2],
        lambda f, x: f(x.sub_(0.5)),
        lambda f, x: f(x.mul_(1.0)),
    ],
    ids=["tuple", "dict", "one column", "maps", "one row", "nan", "fewer classes", "in place", "in place, unchanged"],
)
def test_models_off_the_contract_are_refused(attack: Attack, change: Callable[[Any, Tensor], Any]) -> None:
    x, y = examples()
    y[0] = 2
    for door in entries(attack, Seen(change), x, y):
        with pytest.raises(ModelContractError):
            door()


@every_attack
def test_gradients_that_are_no_numbers_are_refused_where_gradients_are_used(attack: Attack) -> None:
    x, y = examples()
    x[:, :, 0] = 0
    door = entries(attack, Seen(lambda f, z: f(z.sqrt() ** 2)), x, y)[0]
    if isinstance(attack, Square):
        assert door().shape == x.shape
    else:
        with pytest.raises(ModelContractError, match="gradient"):
            door()


@pytest.mark.parametrize("attack", [FGSM(EPS), PGD(EPS, 2, 0.05), MIFGSM(EPS)], ids=lambda attack: attack.name)
def test_cut_graph_is_refused(attack: Attack) -> None:
    x, y = examples()
    for door in entries(attack, Seen(lambda f, z: f(z.detach())), x, y):
        with pytest.raises(ModelContractError, match="Square"):
            door()


@every_attack
def test_empty_batch_comes_back(attack: Attack) -> None:
    x, y = examples()
    assert attack(Seen(), x[:0], y[:0]).shape == x[:0].shape
    with pytest.raises(AdvrushError, match="images"):
        measure(Seen(), x[:0], y[:0], attacks=[attack])


@every_attack
def test_switched_off_gradients_change_nothing(attack: Attack) -> None:
    x, y = examples()
    model = Seen()
    wanted, wanted_flags = attack(model, x, y), measure(Seen(), x, y, attacks=[attack]).attacks[0].flags
    for context in (torch.no_grad, torch.inference_mode):
        with context():
            found = attack(model, x.clone(), y.clone())
            flags = measure(model, x.clone(), y.clone(), attacks=[attack]).attacks[0].flags
        assert torch.equal(found, wanted)
        assert torch.equal(flags, wanted_flags)


@every_attack
def test_model_made_under_inference_mode_is_refused(attack: Attack) -> None:
    x, y = examples()
    with torch.inference_mode():
        model = Seen()
    for door in entries(attack, model, x, y):
        with pytest.raises(ModelContractError, match="inference_mode"):
            door()


@every_attack
def test_any_whole_type_of_label_and_one_example_do(attack: Attack) -> None:
    x, y = examples(1)
    wanted = attack(Seen(), x, y)
    for kind in (torch.int32, torch.int16, torch.uint8):
        assert torch.equal(attack(Seen(), x, y.to(kind)), wanted)


@every_attack
def test_random_models_are_seeded_and_the_global_state_is_left(attack: Attack) -> None:
    x, y = examples()
    model = Seen(lambda f, z: f(z + 0.05 * torch.randn_like(z)))
    before = torch.random.get_rng_state()
    first, second = attack(model, x, y), attack(model, x, y)
    assert torch.equal(first, second)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("attack", [FGSM(EPS), PGD(EPS, 2, 0.05), APGD(EPS, steps=2)], ids=lambda attack: attack.name)
@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda f, z: 1e4 * f(z), "gradient"),
        (lambda f, z: f(z).softmax(1), "probabilities"),
        (lambda f, z: f(z + 0.05 * torch.randn_like(z)), "random"),
    ],
    ids=["saturated", "probabilities", "random"],
)
def test_signs_of_misleading_gradients_are_told_without_an_ensemble(
    attack: Attack, change: Callable[[Any, Tensor], Any], word: str
) -> None:
    x, _ = examples()
    model = Seen(change)
    y = model(x).argmax(1)
    row = measure(model, x, y, attacks=[attack]).to_dict()["attacks"][0]
    assert any(word in sentence for sentence in row["warnings"])
    sound = measure(Seen(), *examples(), attacks=[attack]).to_dict()["attacks"][0]
    assert "warnings" not in sound
