from __future__ import annotations

import argparse
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from advrush.models.build import build
from advrush.models.errors import ModelError
from advrush.models.weights.import_darts import NetworkSizes, import_network, layout
from advrush.models.weights.state_dict import load_weights, read_state


def trained(seed: int = 1, *, auxiliary: bool = True, arch: str = "advrush") -> nn.Module:
    """A small network none of whose tensors has its initial value."""
    torch.manual_seed(seed)
    options = {} if arch in ("resnet18", "densenet121") else {"layers": 4, "auxiliary": auxiliary}
    network = build(arch, num_classes=7, channels=3, **options)  # type: ignore[arg-type]
    with torch.no_grad():
        for tensor in network.state_dict().values():
            if tensor.is_floating_point():
                tensor.add_(0.1 * torch.rand_like(tensor))
    return network.eval()


def published(path: Path, network: nn.Module) -> Path:
    """Save in the layout of the published training code: parallel wrapper, epoch and optimizer beside."""
    wrapped = nn.Sequential()
    wrapped.add_module("module", network)
    optimizer = torch.optim.SGD(network.parameters(), 0.1, momentum=0.9)
    content = {
        "epoch": 9,
        "state_dict": wrapped.state_dict(),
        "best_acc_top1": 9.5,
        "optimizer": optimizer.state_dict(),
    }
    torch.save(content, path)
    return path


@pytest.mark.parametrize("arch", ["advrush", "nasnet", "resnet18", "densenet121"])
def test_a_published_checkpoint_is_imported_with_sizes_read_off_it(tmp_path: Path, arch: str) -> None:
    network = trained(arch=arch)
    imported = import_network(published(tmp_path / "model_best.pth.tar", network), arch).eval()
    x = torch.rand(2, 3, 32, 32)
    assert network(x).isfinite().all()
    assert torch.equal(imported(x), network(x))
    assert set(imported.state_dict()) == set(network.state_dict())


@pytest.mark.parametrize("form", ["bare", "net", "model", "legacy", "safetensors", "compiled"])
def test_forms_of_files(tmp_path: Path, form: str) -> None:
    state = trained().state_dict()
    path = tmp_path / ("w.safetensors" if form == "safetensors" else "w.pt")
    if form == "safetensors":
        save_file(state, path)
    elif form == "compiled":
        torch.save({f"_orig_mod.module.{name}": tensor for name, tensor in state.items()}, path)
    elif form == "legacy":
        torch.save(state, path, _use_new_zipfile_serialization=False)
    else:
        torch.save(state if form == "bare" else {form: state, "acc": 1.0}, path)
    read = read_state(path)
    assert sorted(read) == sorted(state)
    assert list(read) == list(state) or form == "safetensors", "safetensors files are ordered by name"
    assert all(torch.equal(read[name], state[name]) for name in state)


def test_an_auxiliary_head_that_the_network_lacks_is_left_out_and_named() -> None:
    source, target = trained(), trained(2, auxiliary=False)
    dropped = load_weights(target, source.state_dict())
    assert dropped
    assert all(name.startswith("auxiliary_head.") for name in dropped)
    x = torch.rand(2, 3, 32, 32)
    assert torch.equal(source(x), target(x))


def test_batch_counters_may_be_missing_in_old_files() -> None:
    state = {k: v for k, v in trained().state_dict().items() if not k.endswith("num_batches_tracked")}
    target = trained(2)
    assert load_weights(target, state) == ()
    x = torch.rand(2, 3, 32, 32)
    assert torch.equal(target(x), trained()(x))


def test_what_does_not_fit_is_listed_and_nothing_is_loaded() -> None:
    state: dict[str, Tensor] = trained().state_dict()
    state["cells.9.extra"] = state.pop("classifier.bias")
    state["stem.0.weight"] = torch.zeros(1, 3, 3, 3)
    target = trained(2)
    before = {name: tensor.clone() for name, tensor in target.state_dict().items()}
    with pytest.raises(ModelError) as caught:
        load_weights(target, state)
    message = str(caught.value)
    assert "1 missing: classifier.bias" in message
    assert "1 unknown: cells.9.extra" in message
    assert "1 of another shape: stem.0.weight (1, 3, 3, 3), expected (9, 3, 3, 3)" in message
    assert all(torch.equal(tensor, before[name]) for name, tensor in target.state_dict().items())


def test_another_genotype_is_refused(tmp_path: Path) -> None:
    path = published(tmp_path / "a.pth.tar", trained())
    with pytest.raises(ModelError, match=r"a\.pth\.tar: weights do not fit .*\n.* missing: cells.* and \d+ more"):
        import_network(path, "pdarts")


class Marker:
    """Would leave a trace if unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.path,)


def test_a_file_with_code_is_refused_and_never_run(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    torch.save({"state_dict": trained().state_dict(), "note": Marker(trace)}, tmp_path / "evil.pt")
    with pytest.raises(ModelError, match=r"evil\.pt: refused, since it holds more than tensors"):
        read_state(tmp_path / "evil.pt")
    assert not trace.exists()
    torch.save({"args": argparse.Namespace(layers=20)}, tmp_path / "args.pt")
    with pytest.raises(ModelError, match=r"argparse\.Namespace\. Where you trust the file"):
        read_state(tmp_path / "args.pt")


def test_damaged_and_empty_files(tmp_path: Path) -> None:
    path = published(tmp_path / "a.pth", trained())
    content = path.read_bytes()
    for name, data in {
        "cut.pth": content[:2000],
        "empty.pth": b"",
        "text.pth": b"# a text",
        "x.safetensors": b"12",
    }.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ModelError, match=f"{name}: not a checkpoint, or damaged"):
            read_state(tmp_path / name)
    with pytest.raises(ModelError, match=r"none\.pth: cannot be read \(No such file"):
        read_state(tmp_path / "none.pth")
    torch.save({"epoch": 3, "lr": 0.1}, tmp_path / "b.pth")
    with pytest.raises(ModelError, match=r"holds no weights by name \(found: epoch, lr\)"):
        read_state(tmp_path / "b.pth")
    torch.save([1], tmp_path / "c.pth")
    with pytest.raises(ModelError, match=r"found: list"):
        read_state(tmp_path / "c.pth")


def test_layout() -> None:
    assert layout(trained().state_dict()) == NetworkSizes(3, 4, 7, 3, True)
    assert layout(trained(arch="densenet121").state_dict()) == NetworkSizes(3, None, 7, 3, False)
    assert layout(build("resnet18", channels=5, in_channels=1).state_dict()) == NetworkSizes(5, None, 10, 1, False)
    with pytest.raises(ModelError, match="unknown layout"):
        layout({"features.0.weight": torch.zeros(1)})
