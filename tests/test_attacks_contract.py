"""What a model may be and return: each instance ends in a true result, a warning, or an error in words."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from advrush import evaluate
from advrush.attacks import APGD, FAB, FGSM, PGD, Attack, AutoAttack, DeepFool, Square
from advrush.errors import ConfigError, DataError, ModelContractError
from advrush.evaluation import measure

EPS = 0.1
Change = Callable[[Any, Tensor], Any]


class Seen(nn.Module):
    """A linear classifier of 1 x 4 x 4 images into 3 classes, seen through `change` of (logits function, x)."""

    def __init__(self, change: Change = lambda f, x: f(x)) -> None:
        super().__init__()
        weight = torch.randn(3, 16, generator=torch.Generator().manual_seed(0))
        self.layer = nn.Linear(16, 3)
        self.layer.load_state_dict({"weight": weight, "bias": torch.zeros(3)})
        self.change = change

    def forward(self, x: Tensor) -> Any:
        return self.change(lambda z: self.layer(z.flatten(1)), x)


def examples(count: int = 20) -> tuple[Tensor, Tensor]:
    x = 0.2 + 0.6 * torch.rand(count, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return x, Seen()(x).argmax(1)


def warnings_of(change: Change, attack: Attack | None = None) -> list[str]:
    x, y = examples()
    row = measure(Seen(change), x, y, attacks=[attack or PGD(EPS, 3, 0.05)]).to_dict()["attacks"][0]
    return list(row.get("warnings", ()))


def written_by_numpy(f: Any, x: Tensor) -> Tensor:
    x.detach().numpy()[...] *= 0.5
    logits: Tensor = f(2 * x)
    return logits


@pytest.mark.parametrize("attack", [FGSM(EPS), APGD(EPS, steps=2), Square(EPS, queries=5), DeepFool(0.5)])
@pytest.mark.parametrize(
    "change", [lambda f, x: (x.data.mul_(0.5), f(2 * x))[1], written_by_numpy], ids=["data", "numpy"]
)
def test_writing_behind_autograds_back_is_refused_and_the_images_stay(attack: Attack, change: Change) -> None:
    x, y = examples()
    before = x.clone()
    for door in (lambda: attack(Seen(change), x, y), lambda: measure(Seen(change), x, y, attacks=[attack])):
        with pytest.raises(ModelContractError, match="in place"):
            door()
    assert torch.equal(x, before)


def only_near(value: float) -> Change:
    """Return a model that breaks down once the first pixel leaves its range by a little."""
    return lambda f, x: torch.where(x[:, :, 0, 0] > 0.82, value, f(x))


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize(
    "attack",
    [PGD(EPS, 5, 0.05), APGD(EPS, steps=5), AutoAttack(EPS, version="custom", attacks=("apgd_ce", "apgd_t"))],
    ids=["pgd", "apgd", "ensemble"],
)
def test_an_image_on_which_the_model_breaks_down_is_not_adversarial(attack: Attack, value: float) -> None:
    """`argmax` takes a nan for the largest: each such image would count as broken."""
    x, y = examples()
    x[:, :, 0, 0] = 0.8
    y = Seen()(x).argmax(1)
    with pytest.raises(ModelContractError, match=r"not finite for \d+ of"):
        measure(Seen(only_near(value)), x, y, attacks=[attack])


def test_a_clean_image_without_a_prediction_is_named_however_late_it_comes() -> None:
    x, y = examples()
    odd = x[15].clone()
    model = Seen(lambda f, z: torch.where((z == odd).flatten(1).all(1, keepdim=True), torch.nan, f(z)))
    for attacks in ([], [FGSM(EPS)], [FAB(EPS, steps=2)]):
        with pytest.raises(ModelContractError, match="1 of"):
            measure(model, x, y, attacks=attacks)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda f, x: f(x - x.mean(0, keepdim=True)), "other images of its batch"),
        (lambda f, x: f(nn.functional.batch_norm(x, None, None, training=True)), "other images of its batch"),
        (lambda f, x: f(x).flip(0), "other images of its batch"),
        (lambda f, x: f(x).sigmoid(), "sigmoid"),
        (lambda f, x: f(x) + 0 * (x - 0.5).abs().sqrt().sum((1, 2, 3))[:, None], ""),
        (lambda f, x: f(x + 0.05 * (random.random() - 0.5)), "random"),
        (lambda f, x: f(x + 0.05 * torch.from_numpy(np.random.normal(size=x.shape)).float()), "random"),
        (lambda f, x: f(x).log_softmax(1), ""),
        (lambda f, x: f(x).double(), ""),
    ],
    ids=[
        "centered",
        "batch norm",
        "flipped",
        "sigmoid",
        "sound root",
        "python",
        "numpy",
        "log-probabilities",
        "double",
    ],
)
def test_what_speaks_against_a_result_is_told(change: Change, word: str) -> None:
    found = warnings_of(change)
    assert any(word in sentence for sentence in found) if word else not found


def test_generators_of_python_and_numpy_are_seeded_and_put_back() -> None:
    x, y = examples()
    model = Seen(lambda f, z: f(z + 0.2 * (random.random() - 0.5) + 0.2 * (np.random.random() - 0.5)))
    before, numpys = random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[index]
    one, two = (PGD(EPS, 3, 0.05)(model, x, y) for _ in range(2))
    assert torch.equal(one, two)
    assert random.getstate() == before
    assert np.random.get_state()[1].tolist() == numpys  # type: ignore[index]


@pytest.mark.parametrize("attack", [FGSM(EPS), APGD(EPS, steps=2), FAB(EPS, steps=2, targets=1)])
@pytest.mark.parametrize(
    "change", [lambda f, x: f(x.detach()), lambda f, x: f(x).detach(), lambda f, x: torch.zeros(len(x), 3)]
)
def test_no_gradient_attack_takes_a_cut_graph_for_robustness(attack: Attack, change: Change) -> None:
    x, y = examples()
    for door in (lambda: attack(Seen(change), x, y), lambda: measure(Seen(change), x, y, attacks=[attack])):
        with pytest.raises(ModelContractError, match="Square"):
            door()


def test_an_ensemble_with_square_goes_on_and_says_so() -> None:
    x, y = examples()
    attack = AutoAttack(EPS, version="custom", attacks=("apgd_ce", "square"))
    assert any(
        "zero gradient" in sentence for sentence in attack.run(Seen(lambda f, z: f(z.detach())), x, y).warnings()
    )


@pytest.mark.parametrize("attack", [FGSM(EPS), APGD(EPS, steps=2), DeepFool(0.5)])
@pytest.mark.parametrize(
    ("change", "word"), [(lambda f, x: 1e5 * f(x), "zero gradient"), (lambda f, x: f(x).softmax(1), "probabilities")]
)
def test_a_call_that_gives_no_result_warns_too(attack: Attack, change: Change, word: str) -> None:
    x, _ = examples()
    y = Seen()(x).argmax(1)
    with pytest.warns(UserWarning, match=word):
        attack(Seen(change), x, y)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f, x: {}["logits"], ": KeyError 'logits'"),
        (lambda f, x: x.colour, "AttributeError"),
        (lambda f, x: exec("raise SystemExit(3)"), "SystemExit"),
        (lambda f, x: f(x[:, :, :2]), "the model fails on torch.float32 images"),
        (lambda f, x: f(x).to_sparse(), "sparse"),
        (lambda f, x: f(x).to("meta"), "meta"),
        (lambda f, x: (10 * f(x)).int(), "int32"),
        (lambda f, x: f(x) * (1 + 0j), "complex"),
    ],
)
def test_code_of_others_that_fails_is_named(change: Change, message: str) -> None:
    x, y = examples()
    for door in (
        lambda: FGSM(EPS)(Seen(change), x, y),
        lambda: evaluate(Seen(change), (x, y), attacks="square", display=False),
    ):
        with pytest.raises(ModelContractError, match=message):
            door()


def scripted() -> nn.Module:
    return nn.Sequential(nn.Flatten(), Seen().layer).eval()


@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.jit.trace(scripted(), examples(4)[0]),
        lambda: torch.jit.freeze(torch.jit.script(scripted())),
        lambda: torch.compile(scripted(), backend="eager"),
        lambda: nn.DataParallel(scripted()),
        lambda: torch.fx.symbolic_trace(scripted()),
        lambda: scripted().train(),
    ],
    ids=["traced", "frozen script", "compiled", "data parallel", "symbolic", "training mode"],
)
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning", "ignore:The .grad attribute:UserWarning")
def test_models_of_all_kinds_are_measured_alike(make: Callable[[], nn.Module]) -> None:
    x, y = examples()
    wanted = measure(Seen(), x, y, attacks=[FGSM(EPS)]).attacks[0].flags
    assert torch.equal(evaluate(make(), (x, y), attacks=FGSM(EPS), display=False).attacks[0].flags, wanted)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.Sequential(nn.Flatten(), nn.LazyLinear(3)), "lazy"),
        (lambda: copy.deepcopy(Seen()).to("meta"), "meta"),
        (lambda: Seen().double(), "Double"),
    ],
)
def test_models_without_usable_weights_are_named(make: Callable[[], nn.Module], message: str) -> None:
    x, y = examples()
    with pytest.raises(ModelContractError, match=message):
        evaluate(make(), (x, y), attacks="fgsm", display=False)


@pytest.mark.parametrize(
    "make",
    [
        lambda: PGD(EPS, 2.5, 0.05), lambda: PGD("8/255", 2, 0.05), lambda: FGSM(None), lambda: FGSM(True),
        lambda: PGD(EPS, 2, "much"), lambda: PGD(EPS, 2, 0.05, seed=2**64), lambda: PGD(EPS, 2, 0.05, seed=1.5),
        lambda: APGD(EPS, steps=True), lambda: Square(EPS, queries=1.5), lambda: "fgsm", lambda: PGD, lambda: len,
    ],
)  # fmt: skip
def test_attacks_with_settings_that_are_no_numbers_are_refused(make: Callable[[], Any]) -> None:
    x, y = examples()
    with pytest.raises(ConfigError, match=r"eps|step|seed|queries|attacks"):
        measure(Seen(), x, y, attacks=[make()])


def test_square_says_that_it_needs_images() -> None:
    x, _ = examples()
    model = nn.Linear(16, 3)
    with pytest.raises(DataError, match="squares"):
        Square(EPS, queries=5)(model, x.flatten(1), model(x.flatten(1)).argmax(1))


@pytest.mark.parametrize("target", [None, 3, len, nn.Linear, lambda x: x, {"model": Seen()}])
def test_what_is_no_network_is_named(target: Any) -> None:
    with pytest.raises(ConfigError, match="target"):
        evaluate(target, examples(), attacks="fgsm", display=False)
