"""`evaluate` with data at hand, results as tables, runs as paths, attacks with a generator."""

import csv
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import advrush
from advrush import FGSM, PGD, EvaluateConfig, Evaluation, ResultTable, Run, evaluate, images_and_labels
from advrush.data import DataConfig
from advrush.errors import AdvrushError, DataError
from advrush.evaluation.csv_cell import csv_cell
from advrush.space import NASBENCH201, PUBLISHED

DATA = DataConfig("digits", test_examples=40)


@pytest.fixture(scope="module")
def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))


def given(form: str) -> Any:
    """Return the same 40 images in a form that a program may have."""
    test = DATA.load().test
    pixels, labels = test.images, test.labels
    floats = pixels.float() / 255
    pictures = [Image.fromarray(image[0].numpy()) for image in pixels]
    forms: dict[str, Any] = {
        "dataset": DATA.load(),
        "split": test,
        "tensors": (floats, labels),
        "bytes": (pixels, labels),
        "numpy": (floats.numpy(), labels.numpy()),
        "channels last": (floats.permute(0, 2, 3, 1).numpy(), labels.numpy()),
        "torch data set": TensorDataset(floats, labels),
        "loader": DataLoader(TensorDataset(floats, labels), batch_size=7),
        "batches": list(zip(floats.split(7), labels.split(7), strict=True)),
        "generator": (each for each in zip(floats.split(7), labels.split(7), strict=True)),
        "pictures": list(zip(pictures, labels.tolist(), strict=True)),
        "dictionaries": [{"img": picture, "label": int(y)} for picture, y in zip(pictures, labels, strict=True)],
    }
    return forms[form]


FORMS = (
    "dataset", "split", "tensors", "bytes", "numpy", "channels last", "torch data set", "loader", "pictures",
    "dictionaries", "batches", "generator",
)  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_pixels(form: str) -> None:
    test = DATA.load().test
    x, y = images_and_labels(given(form))
    assert x.dtype == torch.float32
    assert torch.allclose(x, test.images.float() / 255)
    assert torch.equal(y, test.labels)
    few, _ = images_and_labels(given(form), limit=9)
    assert torch.allclose(few, x[:9])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (3, "got an int; expected a pair"),
        ([], "no examples"),
        ((np.zeros((4, 8)), np.zeros(4)), r"expected \(N, C, H, W\)"),
        ([{"picture": 1, "label": 2}], "examples with picture, label"),
        ([3], "examples are int"),
        ([(torch.zeros(1, 4, 4), 0), (torch.zeros(1, 5, 5), 1)], "expected one shape"),
        ({"image": torch.zeros(2, 1, 4, 4)}, "got a dict"),
        ([(torch.zeros(1, 4, 4), "cat")], "labels: got a str"),
        ([(torch.zeros(1, 4, 4), None)], "labels: got a NoneType"),
        ([(torch.zeros(1, 4, 4), 1.5)], "labels: got 1.5"),
    ],
)
def test_other_data_are_refused(data: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        images_and_labels(data)


PIXELS = np.random.default_rng(0).random((6, 1, 4, 4)).astype(np.float32)
LABELS = np.arange(6) % 3


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ((255 * PIXELS).astype(np.int64), "int64"),
        (PIXELS > 0.5, "bool"),
        (PIXELS * (1 + 1j), "complex"),
        (PIXELS.astype(object), "object"),
        (np.full((6, 1, 4, 4), "a"), "<U1"),
        ((PIXELS > 0.5).astype(np.uint8), "made bytes"),
        (np.ma.masked_greater(PIXELS, 0.5), "MaskedArray"),
        (torch.from_numpy(PIXELS).to_sparse(), "sparse"),
        (torch.from_numpy(PIXELS).to("meta"), "meta"),
        (PIXELS[0], "shape"),
    ],
)
def test_images_of_another_type_are_refused(images: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        images_and_labels((images, LABELS))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (LABELS + 0.5, "0.5"),
        (LABELS > 0, "bool"),
        (LABELS + 0j, "complex"),
        (np.where(LABELS == 1, np.nan, LABELS), "nan"),
        (LABELS.astype(object), "object"),
        (LABELS.astype(str), "<U"),
        (np.eye(3)[LABELS], "shape"),
        (np.array(3), "shape"),
    ],
)
def test_labels_of_another_type_are_refused(labels: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        images_and_labels((PIXELS, labels))


@pytest.mark.parametrize(
    "images",
    [PIXELS[:, :, ::-1], PIXELS.astype(">f8"), np.broadcast_to(PIXELS[:1], PIXELS.shape), np.asfortranarray(PIXELS)],
    ids=["backwards", "big-endian", "broadcast", "fortran"],
)
def test_arrays_of_any_layout_are_taken(images: Any) -> None:
    x, y = images_and_labels((images, LABELS.astype(np.float64)))
    assert np.allclose(x.numpy(), images)
    assert y.tolist() == LABELS.tolist()


@pytest.mark.parametrize(
    "options",
    [
        {"limit": -1}, {"limit": 0}, {"limit": 1.5}, {"limit": True}, {"batch_size": 2.5}, {"batch_size": 0},
        {"eps": None}, {"eps": "much"}, {"eps": True}, {"eps": []}, {"eps": "8"}, {"eps": float("nan")},
        {"eps": [-0.1]}, {"seed": -1}, {"seed": 2**70}, {"seed": 1.5}, {"seed": "a"}, {"norm": "l2"},
        {"norm": None}, {"norm": 2},
        {"attacks": ()}, {"attacks": None}, {"attacks": 3}, {"attacks": PGD}, {"attacks": ["fgsm", PGD]},
        {"attacks": "pgd99999999999999999999"}, {"attacks": "pgd" + "9" * 5000}, {"attacks": "pgd20x0"},
        {"device": None}, {"device": 0.5}, {"normalize": 3}, {"normalize": (0.5, 0.5)}, {"normalize": (["a"], ["b"])},
        {"normalize": ([0.5], [0.0])}, {"normalize": "0.5/nan"}, {"normalize": ([], [])},
    ],
    ids=lambda options: "-".join(map(str, next(iter(options.items()))))[:20],
)  # fmt: skip
def test_options_without_sense_are_refused_in_words(options: Any, model: nn.Module) -> None:
    with pytest.raises(AdvrushError, match=next(iter(options))):
        evaluate(model, DATA.load(), **{"attacks": "fgsm", "display": False} | options)


@pytest.mark.parametrize("eps", ["8/255", 8 / 255, np.float64(8 / 255), torch.tensor(8 / 255, dtype=torch.float64)])
def test_a_radius_in_any_form_is_one_radius(eps: Any, model: nn.Module) -> None:
    found = evaluate(model, DATA.load(), attacks="fgsm", eps=eps, limit=10, display=False)
    assert found.attacks[0].details["eps"] == 8 / 255


def test_names_and_values_of_attacks_and_several_radii(model: nn.Module) -> None:
    data = given("tensors")
    by_name = evaluate(model, data, attacks="pgd20", eps=0.031, display=False)
    by_value = evaluate(model, data, attacks=PGD(), display=False)
    assert isinstance(by_name, Evaluation)
    assert torch.equal(by_name.attacks[0].flags, by_value.attacks[0].flags)
    several = evaluate(model, data, attacks=("fgsm", "pgd5"), eps=(0.0, 0.02, 0.3)[1:], display=False)
    rows = several.table.rows
    assert [row["attack"] for row in rows] == [
        "clean", "fgsm, eps 0.02", "pgd5, eps 0.02", "fgsm, eps 0.3", "pgd5, eps 0.3", "worst case",
    ]  # fmt: skip
    assert [row["eps"] for row in rows[1:5]] == [0.02, 0.02, 0.3, 0.3]
    assert rows[4]["accuracy"] <= rows[2]["accuracy"]


def test_a_result_is_a_table_everywhere(model: nn.Module) -> None:
    found = evaluate(model, given("loader"), attacks=FGSM(0.1), display=False)
    assert repr(found) == str(found)
    assert str(found).splitlines()[0] == "Sequential, Linf, eps 0.1 (25.5/255), 40 images"
    assert "<table>" in found._repr_html_()
    frame = found.to_pandas()
    assert list(frame["attack"]) == ["clean", "fgsm"]
    assert frame["accuracy"][0] == pytest.approx(found.clean_acc)


class Wordy(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"logits": self.inner(x)}


@pytest.mark.parametrize("name", ["=cmd|'/c calc'!A0", "+1+1", "-2+3", "@SUM(1)", "\t=1"])
def test_names_are_no_formulas_and_no_commands(name: str, model: nn.Module) -> None:
    plain = evaluate(model, DATA.load(), attacks="fgsm", limit=5, display=False)
    found = replace(plain, label=f"{name}\n\\input{{x}}")
    table = found.table
    for line in csv.DictReader(io.StringIO(table.csv())):
        assert not any((cell or "").startswith(("=", "+", "@", "\t", "-2")) for cell in line.values())
    assert "\n\\input" not in table.latex()


def test_numbers_below_zero_stay_numbers() -> None:
    assert [csv_cell(value) for value in (-0.5, "-0.5", "-1e-3", "-x", "")] == [-0.5, "-0.5", "-1e-3", "'-x", ""]


def test_entries_and_normalization_in_python(model: nn.Module) -> None:
    data = given("tensors")
    plain = evaluate(model, ((data[0] - 0.5) / 0.5 * 0 + data[0], data[1]), attacks="fgsm", display=False)
    wordy = evaluate(Wordy(model), data, attacks="fgsm", output="logits", display=False)
    assert torch.equal(plain.attacks[0].flags, wordy.attacks[0].flags)
    with pytest.raises(AdvrushError, match=r"returns a dict with logits; .*--output logits, in Python output='logits'"):
        evaluate(Wordy(model), data, attacks="fgsm", display=False)
    with pytest.raises(AdvrushError, match="normalization of 3 channels; the images have 1"):
        evaluate(model, data, attacks="fgsm", normalize="cifar10", display=False)
    shifted = evaluate(model, data, attacks="fgsm", normalize=((0.5,), (0.25,)), display=False)
    assert torch.equal(shifted.clean, model((data[0] - 0.5) / 0.25).argmax(1) == data[1])


def test_a_configuration_gives_a_run_and_a_run_is_a_path(model: nn.Module, tmp_path: Path) -> None:
    config = EvaluateConfig(data=DATA, attacks=("fgsm",))
    run = evaluate(model, config, runs_dir=tmp_path, display=False, device="cpu")
    assert isinstance(run, Run)
    assert Path(run) == run.path
    assert str(run) == str(run.path)
    assert ResultTable.of(run).rows == ResultTable.of(run.result()).rows
    page = advrush.write_report(tmp_path / "r.html", title="x", runs=[run])  # type: ignore[list-item]
    assert page.is_file()


def test_a_generator_gives_each_batch_its_own_start(model: nn.Module) -> None:
    x, y = given("tensors")
    attack, generator = PGD(0.1, 1, 0.01), torch.Generator().manual_seed(3)
    first, second = attack(model, x, y, generator=generator), attack(model, x, y, generator=generator)
    assert not torch.equal(first, second)
    again = torch.Generator().manual_seed(3)
    assert torch.equal(attack(model, x, y, generator=again), first)
    assert torch.equal(attack(model, x, y), attack(model, x, y))
    assert torch.equal(FGSM(0.1)(model, x, y, generator=generator), FGSM(0.1)(model, x, y))


def test_no_radius_is_refused(model: nn.Module) -> None:
    with pytest.raises(AdvrushError, match="eps"):
        evaluate(model, given("tensors"), eps=(), display=False)


def test_genotypes_show_their_cells() -> None:
    page = PUBLISHED["ADVRUSH"]._repr_html_()  # type: ignore[attr-defined]
    assert page.count("<table>") == 2
    assert "node 3" in page
    assert "c<sub>k-2</sub>" in page
    other = NASBENCH201.parse("|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|avg_pool_3x3~1|nor_conv_1x1~2|")
    assert "nor_conv_1x1(node 1)" in other._repr_html_()  # type: ignore[attr-defined]


def test_every_public_name_is_there() -> None:
    for name in advrush.__all__:
        assert getattr(advrush, name) is not None
    assert advrush.__version__[0].isdigit()
    assert {*advrush.__all__, "__version__"} == set(dir(advrush))
