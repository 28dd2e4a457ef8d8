"""Genotypes, blueprints and configurations of any content: a typed error, or what they say; never much memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from advrush import config as configs
from advrush.errors import AdvrushError, ConfigError, GenotypeError
from advrush.evaluation import EvaluateConfig
from advrush.models.weights.saved import Blueprint, load
from advrush.searching import SearchConfig
from advrush.space import PUBLISHED, resolve
from advrush.training import TrainConfig
from hostile import MORE, PLAIN, VALUES, refusal

SMALL = Blueprint("ADVRUSH", num_classes=3, channels=2, layers=3, mean=[0.5] * 3, std=[0.2] * 3)
HUGE = "0x" + "f" * 5000


@pytest.mark.parametrize(
    "text",
    [
        "{" * 100_000,
        '{"normal": ' + "[" * 100_000,
        json.dumps({"normal": [["none", 0]] * 2, "normal_concat": [2], "reduce": 9, "reduce_concat": []}),
        '{"normal": ' + "9" * 5000 + "}",
        f"Genotype(normal=[('none', {HUGE}), ('none', 1)], normal_concat=[2], reduce=[], reduce_concat=[2])",
        f"Genotype(normal={HUGE}, normal_concat=[2], reduce=[], reduce_concat=[2])",
        f"Genotype(normal=[('none', 0), ('none', 1)], normal_concat=[{HUGE}], reduce=[], reduce_concat=[2])",
        "Genotype(" * 10_000,
        '{"space": "nasbench201", "cell": "' + "|" * 90_000 + '"}',
        json.dumps({"normal": [["none", 0]] * 9_000, "normal_concat": [2], "reduce": [], "reduce_concat": [2]}),
    ],
    ids=range(10),
)
def test_genotypes_of_absurd_texts(text: str) -> None:
    with pytest.raises(GenotypeError) as refused:
        resolve(text)
    assert len(str(refused.value)) < 1000


@given(st.sampled_from(["normal", "normal_concat", "reduce", "reduce_concat", "source", "x"]), PLAIN)
def test_genotypes_with_any_field(field: str, value: Any) -> None:
    refusal(resolve, json.dumps({**PUBLISHED["ADVRUSH"].to_dict(), field: value}))


@pytest.mark.parametrize("config", [SearchConfig(), TrainConfig(), EvaluateConfig()], ids=lambda c: type(c).__name__)
@given(data=st.data())
def test_configurations_with_any_field(config: Any, data: st.DataObject) -> None:
    plain = configs.to_dict(config)
    fields = [
        *plain,
        *(f"{outer}.{inner}" for outer in plain if isinstance(plain[outer], dict) for inner in plain[outer]),
    ]
    outer, _, inner = data.draw(st.sampled_from(fields)).partition(".")
    value = data.draw(VALUES)
    changed = {**plain, outer: {**plain[outer], inner: value} if inner else value}
    message = refusal(configs.from_dict, type(config), changed, where="own.toml")
    assert message is None or message.startswith("own.toml: ")


def test_toml_with_a_number_beyond_printing(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(f"epochs = {HUGE}\n")
    with pytest.raises(ConfigError, match="epochs: got a int that cannot be printed"):
        configs.check_numbers(configs.load(SearchConfig, path))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    path.write_bytes(safetensors.torch.save(SMALL.build().state_dict(), SMALL.to_metadata()))
    return path


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("channels", 10**12), ("layers", 10**9), ("num_classes", 10**13), ("in_channels", 10**11), ("layers", 0),
        ("image_size", 10**9), ("channels", -4), ("layers", 60), ("arch", "Genotype(" * 9), ("mean", [0.1, 0.1]),
        ("std", "x"), ("channels", 2.5), ("auxiliary", True), ("channels", "beyond"),
    ],
)  # fmt: skip
def test_blueprints_of_absurd_sizes(weights: Path, tmp_path: Path, field: str, value: Any) -> None:
    assert load(weights)(torch.rand(2, 3, 32, 32)).shape == (2, 3)
    plain = json.loads(SMALL.to_metadata()["blueprint"])
    text = json.dumps({**plain, field: "VALUE"}).replace(
        '"VALUE"', hex(value) if value == 16**5000 else json.dumps(value)
    )
    path = tmp_path / "odd.safetensors"
    path.write_bytes(safetensors.torch.save(safetensors.torch.load_file(weights), {"blueprint": text}))
    with pytest.raises(AdvrushError):
        load(path)


@settings(max_examples=40 * MORE)
@given(PLAIN)
def test_blueprints_of_any_content(tmp_path_factory: pytest.TempPathFactory, value: Any) -> None:
    path = tmp_path_factory.getbasetemp() / "any.safetensors"
    for text in (json.dumps(value), repr(value), json.dumps({"arch": "resnet18", "channels": value})):
        path.write_bytes(safetensors.torch.save({"a": torch.ones(2)}, {"blueprint": text}))
        assert "any.safetensors" in str(refusal(load, path))
