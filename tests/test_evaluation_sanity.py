"""The field's checks of an evaluation: a sound network passes all, each kind of broken one fails its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from advrush.data import DataConfig
from advrush.evaluation import EvaluateConfig, evaluate
from advrush.evaluation.sanity import Check, sanity
from advrush.report import write_report
from linear_digits import make

NAMES = [
    "more steps help",
    "the loss reaches a plateau",
    "a large radius breaks all",
    "white box at least as strong as transfer",
    "no sign of masked gradients",
    "not random",
]
DATA = DataConfig(dataset="digits", test_examples=40)


class Wrapped(nn.Module):
    """A linear classifier of digits whose logits something is done to."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.inner, self.kind = make(), kind
        self.generator = torch.Generator().manual_seed(0)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.inner(x)
        if self.kind == "steep":
            return logits * 1e5
        if self.kind == "random":
            return logits + torch.randn(logits.shape, generator=self.generator)
        return logits


def checks(model: nn.Module, eps: float = 0.1) -> dict[str, Check]:
    test = DATA.load(None).test
    x, y = test.images.float() / 255, test.labels
    with torch.no_grad():
        clean = model(x).argmax(1) == y
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = sanity(model.eval(), x, y, clean, eps=eps, norm="Linf", seed=0)
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in before.items())
    assert [each.name for each in found] == NAMES
    return {each.name: each for each in found}


def test_a_sound_network_passes_all() -> None:
    found = checks(Wrapped("plain"))
    assert all(each.passed for each in found.values()), found


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("random", "not random"),
        ("steep", "no sign of masked gradients"),
        ("steep", "a large radius breaks all"),
    ],
)
def test_each_kind_of_broken_network_fails_its_own(kind: str, name: str) -> None:
    assert not checks(Wrapped(kind))[name].passed


def test_nothing_to_check_where_nothing_is_right() -> None:
    x, y = torch.rand(4, 1, 8, 8), torch.zeros(4, dtype=torch.long)
    assert sanity(make(), x, y, torch.zeros(4, dtype=torch.bool), eps=0.1, norm="Linf", seed=0) == []


def test_checks_are_recorded_and_told_in_one_line(tmp_path: Path) -> None:
    config = EvaluateConfig(data=DATA, attacks=("fgsm",), eps=0.1, sanity=True)
    run = evaluate(make(), config, runs_dir=tmp_path, display=False)
    result = json.loads((run.path / "result.json").read_text())
    assert [each["name"] for each in result["sanity"]] == NAMES and all(each["passed"] for each in result["sanity"])
    page = write_report(tmp_path / "report.html", title="t", runs=[run.path]).read_text()
    assert "It passes 6 of 6 checks of the evaluation." in page
    result["sanity"][2] |= {"passed": False, "found": "PGD leaves 3.0% with eps 1"}
    (run.path / "result.json").write_text(json.dumps(result))
    page = write_report(tmp_path / "report.html", title="t", runs=[run.path]).read_text()
    assert "It passes 5 of 6 checks of the evaluation; not: a large radius breaks all (PGD leaves 3.0% with" in page
    plain = evaluate(make(), EvaluateConfig(data=DATA, attacks=("fgsm",), eps=0.1), runs_dir=tmp_path, display=False)
    assert "sanity" not in plain.result()
