from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import Tensor, nn

from advrush.errors import ConfigError
from advrush.models.build import build
from advrush.models.errors import ModelError
from advrush.models.normalize import Normalized
from advrush.models.weights.export import FORMATS, export
from advrush.models.weights.import_darts import import_network


def network() -> nn.Module:
    torch.manual_seed(0)
    model = build("advrush", channels=2, layers=3, image_size=9, in_channels=1)
    model(torch.rand(8, 1, 9, 9))
    return Normalized(model, [0.4], [0.3])


def test_safetensors_hold_the_weights_and_their_metadata(tmp_path: Path) -> None:
    model = network().model
    path = tmp_path / "new" / "weights.safetensors"
    assert export(model, path, image_size=9, in_channels=1, metadata={"arch": "advrush"}) == 0.0
    with safe_open(path, framework="pt") as file:
        assert file.metadata() == {"arch": "advrush"}
    x = torch.rand(2, 1, 9, 9)
    assert torch.equal(import_network(path, "advrush", image_size=9).eval()(x), model.eval()(x))


def test_torch_export_computes_the_same_for_any_batch(tmp_path: Path) -> None:
    model = network()
    assert export(model, tmp_path / "a.pt2", image_size=9, in_channels=1) <= 1e-5
    program = torch.export.load(tmp_path / "a.pt2").module()
    x = torch.rand(5, 1, 9, 9)
    torch.testing.assert_close(program(x), model.eval()(x))


def test_onnx_computes_the_same_for_any_batch(tmp_path: Path) -> None:
    for package in ("onnxscript", "onnxruntime"):
        pytest.importorskip(package, reason=f"{package} (extra export) is not installed")
    import onnxruntime

    model = network()
    assert export(model, tmp_path / "a.onnx", image_size=9, in_channels=1) <= 1e-5
    session = onnxruntime.InferenceSession(str(tmp_path / "a.onnx"), providers=["CPUExecutionProvider"])
    x = torch.rand(5, 1, 9, 9)
    logits = session.run(["logits"], {"pixels": x.numpy()})[0]
    torch.testing.assert_close(torch.from_numpy(logits), model.eval()(x).detach(), atol=1e-5, rtol=1e-5)
    assert [path.name for path in tmp_path.iterdir()] == ["a.onnx"]


def test_modes_are_put_back(tmp_path: Path) -> None:
    model = network()
    model.model.cells[0].eval()
    modes = [module.training for module in model.modules()]
    export(model, tmp_path / "a.safetensors", image_size=9, in_channels=1)
    assert modes == [module.training for module in model.modules()]


def test_a_file_that_computes_something_else_is_refused_and_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(model: nn.Module, path: Path, x: Tensor, metadata: dict[str, str]) -> Tensor:
        path.write_bytes(b"wrong")
        return model(x) + 0.01  # type: ignore[no-any-return]

    monkeypatch.setitem(FORMATS, ".pt2", wrong)  # type: ignore[arg-type]
    with pytest.raises(ModelError, match=r"a\.pt2: its logits differ by 0\.01"):
        export(network(), tmp_path / "a.pt2", image_size=9, in_channels=1)
    assert not list(tmp_path.iterdir())


def test_an_absent_package_and_an_unknown_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ModelError, match=r"ONNX needs onnxruntime: pip install 'advrush\[export\]'"):
        export(network(), tmp_path / "a.onnx", image_size=9, in_channels=1)
    with pytest.raises(ConfigError, match=r"a name that ends in \.safetensors, \.pt2, \.onnx"):
        export(network(), tmp_path / "a.tflite")
