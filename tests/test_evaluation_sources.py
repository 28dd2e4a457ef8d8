"""Networks from elsewhere: files, modules, instances, libraries by their doubles, normalization, entries."""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from advrush.cli import main
from advrush.data import KNOWN
from advrush.errors import AdvrushError
from advrush.evaluation import as_target
from advrush.evaluation.normalization import NAMED, normalization
from advrush.models.build import build
from advrush.models.normalize import Normalized

FACTORY = """
import torch
from torch import nn
from beside import CLASSES

def small():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, CLASSES))

ready = small()
number = 3
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "mine.py").write_text(FACTORY)
    (tmp_path / "beside.py").write_text("CLASSES = 10\n")
    (tmp_path / "best.pth").write_bytes(b"weights")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    monkeypatch.delitem(sys.modules, "beside", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("text", ["mine.py:small", "mine.py:ready", "python:mine:small", "python:mine:ready"])
def test_files_and_modules_give_factories_and_instances(text: str, folder: Path) -> None:
    target = as_target(text)
    assert target.model(torch.rand(2, 1, 8, 8)).shape == (2, 10)
    assert target.label == text.removeprefix("python:").replace(".py", "")
    assert not target.model.training


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mine.py:smal", "mine.py has no smal (did you mean 'small'?)"),
        ("mine.py:number", "expected an nn.Module or a factory of one"),
        ("absent.py:small", "no such file"),
        ("python:mine", "python:MODULE:FACTORY"),
        ("python:absent:x", "cannot import absent"),
        ("tim:resnet18", "unknown source 'tim' (did you mean 'timm'?)"),
        ("hf:resnet", "hf:USER/REPO"),
        ("timm:", "timm:NAME"),
        ("mine.py", "name the network in it, or a function that returns one: mine.py:net"),
        ("best.pth", "holds weights without their network; `advrush import`"),
    ],
)
def test_what_is_wrong_with_a_target_is_told(text: str, message: str, folder: Path) -> None:
    with pytest.raises(AdvrushError) as caught:
        as_target(text)
    assert message in str(caught.value)


def test_a_library_that_is_not_there_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(AdvrushError, match=r"timm is not installed: pip install 'advrush\[timm\]'"):
        as_target("timm:resnet18")
    monkeypatch.setitem(sys.modules, "robustbench", None)
    monkeypatch.setitem(sys.modules, "robustbench.utils", None)
    with pytest.raises(AdvrushError, match=r"robustbench is not installed: pip install 'advrush\[robustbench\]'"):
        as_target("robustbench:Standard")


def double(name: str, **members: object) -> ModuleType:
    module = ModuleType(name)
    for key, value in members.items():
        setattr(module, key, value)
    return module


def test_timm_networks_come_with_their_normalization(monkeypatch: pytest.MonkeyPatch) -> None:
    def create_model(name: str, *, pretrained: bool) -> nn.Module:
        assert (name, pretrained) == ("tiny", True)
        model = build("resnet18", channels=2)
        model.pretrained_cfg = {"mean": (0.4, 0.5, 0.6), "std": (0.2, 0.2, 0.2)}  # type: ignore[assignment]
        return model

    monkeypatch.setitem(sys.modules, "timm", double("timm", create_model=create_model))
    target = as_target("timm:tiny")
    assert isinstance(target.model, Normalized)
    assert target.model.mean.flatten().tolist() == pytest.approx([0.4, 0.5, 0.6])
    assert target.label == "timm:tiny"


def test_robustbench_networks_are_asked_for_by_threat(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str, str]] = []

    def load_model(model_name: str, dataset: str, threat_model: str) -> nn.Module:
        asked.append((model_name, dataset, threat_model))
        return nn.Flatten()

    monkeypatch.setitem(sys.modules, "robustbench", double("robustbench"))
    monkeypatch.setitem(sys.modules, "robustbench.utils", double("robustbench.utils", load_model=load_model))
    assert as_target("robustbench:Standard").label == "robustbench:Standard"
    as_target("robustbench:Rice2020/cifar100/L2")
    assert asked == [("Standard", "cifar10", "Linf"), ("Rice2020", "cifar100", "L2")]


class Talkative(nn.Module):
    """Returns logits among other things, in the form that is asked for."""

    def __init__(self, form: str) -> None:
        super().__init__()
        self.form, self.head = form, nn.Linear(64, 10)

    def forward(self, x: Tensor) -> object:
        logits, other = self.head(x.flatten(1)), x.mean()
        forms = {"dict": {"loss": other, "logits": logits}, "tuple": (other, logits)}
        return forms.get(self.form, SimpleNamespace(logits=logits))


@pytest.mark.parametrize(("form", "entry"), [("dict", "logits"), ("tuple", 1), ("tuple", "1"), ("object", "logits")])
def test_logits_are_an_entry_of_the_output(form: str, entry: str | int) -> None:
    model, x = Talkative(form), torch.rand(2, 1, 8, 8)
    assert torch.equal(as_target(model, output=entry).model(x), model.head(x.flatten(1)))
    with pytest.raises(AdvrushError, match=r"no entry 'wrong' with a tensor; expected one of .*(logits|1)"):
        as_target(model, output="wrong").model(x)


def test_normalizations_by_name_and_in_numbers() -> None:
    assert normalization("cifar10") == (KNOWN["cifar10"].mean, KNOWN["cifar10"].std)
    assert normalization("imagenet") == NAMED["imagenet"]
    assert normalization("0.5,0.25/0.2,1") == ((0.5, 0.25), (0.2, 1.0))
    assert normalization(([0.5], [0.2])) == ((0.5,), (0.2,))
    for wrong in ("imagnet", "0.5/0.1,0.2", "0.5", "a/b", "0.5/0", "0.5/-1"):
        with pytest.raises(AdvrushError, match="normalize: got"):
            normalization(wrong)


def test_a_normalized_target_is_another_network() -> None:
    model, x = nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), torch.rand(2, 1, 8, 8)
    plain, normalized = as_target(model), as_target(model, normalize="0.5/0.25")
    assert torch.allclose(normalized.model(x), model((x - 0.5) / 0.25))
    assert plain.digest != normalized.digest


def test_evaluate_a_factory_and_take_the_table_away(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ["--data.dataset", "digits", "--data.test-examples", "20", "--attacks", "fgsm", "--device", "cpu"]
    command = ["evaluate", "mine.py:small", *options, "--normalize", "0.5/0.25"]
    for ending, mark in ((".csv", "mine:small,digits,fgsm"), (".json", '"attack": "fgsm"'), (".tex", "toprule")):
        assert main([*command, "--table", f"out/t{ending}"]) == 0
        assert mark in Path(f"out/t{ending}").read_text()
    assert len(list(Path("runs/evaluate").iterdir())) == 1
    capsys.readouterr()
    assert main([*command, "--table", "t.xlsx"]) == 2
    assert "table: got 't.xlsx'" in capsys.readouterr().err
