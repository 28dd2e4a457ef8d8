"""Networks on disk: what is loaded is what was saved; what is not a network is refused."""

from pathlib import Path

import pytest
import safetensors.torch
import torch

from advrush.cli import main
from advrush.errors import RunError
from advrush.models.build import build
from advrush.models.normalize import Normalized
from advrush.models.weights.saved import Blueprint, load, read_blueprint

SMALL = Blueprint("advrush", image_size=8, in_channels=1, channels=2, layers=3, mean=(0.4,), std=(0.3,))


def save(path: Path, blueprint: Blueprint = SMALL) -> torch.nn.Module:
    torch.manual_seed(0)
    model = blueprint.build().eval()
    path.write_bytes(safetensors.torch.save(dict(model.state_dict()), metadata=blueprint.to_metadata()))
    return model


def test_loaded_network_computes_the_same(tmp_path: Path) -> None:
    model = save(tmp_path / "best.safetensors")
    loaded, x = load(tmp_path), torch.rand(3, 1, 8, 8)
    assert isinstance(loaded, Normalized)
    assert not loaded.training
    assert torch.equal(loaded(x), model(x))
    assert read_blueprint(tmp_path).channels == 2


def test_what_is_no_network_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="expected the directory of a finished training"):
        load(tmp_path)
    broken = tmp_path / "x.safetensors"
    broken.write_bytes(b"nothing")
    with pytest.raises(RunError, match=r"x\.safetensors: not a readable safetensors file"):
        load(broken)
    broken.write_bytes(safetensors.torch.save({"a": torch.ones(1)}))
    with pytest.raises(RunError, match="metadata do not describe a network"):
        load(broken)
    broken.write_bytes(safetensors.torch.save({"a": torch.ones(1)}, metadata=SMALL.to_metadata()))
    with pytest.raises(RunError, match="tensors do not fit"):
        load(broken)


def test_imported_checkpoint_becomes_a_network_on_pixels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    model = build("pdarts", channels=2, layers=3, num_classes=7, auxiliary=True).eval()
    state = {f"module.{name}": tensor for name, tensor in model.state_dict().items()}
    torch.save({"epoch": 3, "state_dict": state}, tmp_path / "model_best.pth.tar")
    out = tmp_path / "network.safetensors"
    command = ["import", str(tmp_path / "model_best.pth.tar"), "--arch", "PDARTS", "--out", str(out)]
    assert main([*command, "--normalize", "cifar10"]) == 0
    assert "7 classes" in capsys.readouterr().out
    x, blueprint = torch.rand(2, 3, 32, 32), read_blueprint(out)
    assert blueprint.mean is not None
    assert blueprint.std is not None
    expected = model((x - torch.tensor(blueprint.mean).view(1, 3, 1, 1)) / torch.tensor(blueprint.std).view(1, 3, 1, 1))
    torch.testing.assert_close(load(out)(x), expected)
    assert main([*command, "--normalize", "cifar"]) == 2
    assert "did you mean 'cifar10'?" in capsys.readouterr().err
    assert main(["show", str(out)]) == 0
    assert "Normal cell" in capsys.readouterr().out


def test_an_imported_network_of_fixed_depth_keeps_its_width(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = build("resnet18", channels=4, num_classes=5).eval()
    torch.save({"net": {f"module.{name}": value for name, value in model.state_dict().items()}}, tmp_path / "r.pth")
    out = tmp_path / "r.safetensors"
    command = ["import", str(tmp_path / "r.pth"), "--arch", "resnet18", "--out", str(out)]
    assert main([*command, "--normalize", "0.5,0.5,0.5/0.2,0.2,0.2"]) == 0
    x = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(load(out)(x), model((x - 0.5) / 0.2))
    assert main(["show", str(out)]) == 2
    assert "a network without cells (resnet18)" in capsys.readouterr().err


def test_network_is_exported_from_its_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = save(tmp_path / "weights.safetensors")
    assert main(["export", str(tmp_path), "--out", str(tmp_path / "copy.safetensors")]) == 0
    assert "largest difference of the logits on random pixels: 0" in capsys.readouterr().out
    x = torch.rand(3, 1, 8, 8)
    assert torch.equal(load(tmp_path / "copy.safetensors")(x), model(x))
