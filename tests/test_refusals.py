"""Texts, files, devices, clusters, single examples, prefixes off the main road: the right answer or a refusal."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from advrush import parallel
from advrush.cli import main
from advrush.commands.train import architecture
from advrush.data import DataConfig
from advrush.errors import ConfigError, GenotypeError, RunError
from advrush.models.build import build
from advrush.models.errors import ModelError
from advrush.models.weights.import_darts import import_network
from advrush.space import PUBLISHED, parse
from advrush.space.files import read_text
from advrush.training import TrainConfig, train
from advrush.training.step import parts

TEXT = PUBLISHED["ADVRUSH"].to_darts()
JSON = PUBLISHED["ADVRUSH"].to_json()
OTHER = PUBLISHED["PDARTS"].to_darts()


@pytest.mark.parametrize(
    "text", [f"{TEXT}\n12:00 train_acc 61.2 (top 5)", f"a = {TEXT}  # best\n", f"{TEXT}\n{TEXT}\n"]
)
def test_text_around_a_genotype_is_skipped(text: str) -> None:
    assert parse(text) == PUBLISHED["ADVRUSH"]


@pytest.mark.parametrize(
    "text",
    [
        f"```json\n{JSON}\n```", f"\ufeff{JSON}", f"The architecture:\n\n{JSON}\n\nHope this helps!",
        JSON.replace("]]", "],]").replace("}", ",}"), JSON.replace(" ", "\r\n"),
    ],
    ids=["fence", "mark of the encoding", "words", "commas", "other line ends"],
)  # fmt: skip
def test_json_as_it_is_pasted(text: str) -> None:
    assert parse(text) == PUBLISHED["ADVRUSH"]


def test_of_two_genotypes_none_is_chosen() -> None:
    with pytest.raises(GenotypeError, match="2 different"):
        parse(f"epoch 1 {TEXT}\nepoch 2 {OTHER}\n")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
def test_a_genotype_file_is_one_thing_to_every_command(
    encoding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    mark = "\ufeff" if encoding == "utf-16-le" else ""
    Path("mine.log").write_bytes((mark + f"MINE = {TEXT}\n").encode(encoding))
    assert main(["show", "mine.log"]) == 0
    assert parse(architecture("mine.log")) == PUBLISHED["ADVRUSH"]


def test_files_that_are_no_text_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\x80\x81\x82")
    for name, message in (("a.txt", "UTF-8"), ("absent.txt", "cannot be read")):
        with pytest.raises(GenotypeError, match=message):
            read_text(tmp_path / name)


def test_a_known_name_is_the_architecture_though_a_folder_is_called_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("advrush").mkdir()
    assert architecture("advrush") == "advrush"


@pytest.mark.parametrize("device", ["meta", "mps", "cpu:1", "xpu", "tpu"])
def test_devices_that_are_none(device: str) -> None:
    with pytest.raises(ConfigError, match="device"):
        parallel.setup(device)


@pytest.mark.parametrize(
    "variables",
    [
        {"WORLD_SIZE": "4"},
        {"WORLD_SIZE": "4", "RANK": "0"},
        {"WORLD_SIZE": "two", "RANK": "0"},
        {"WORLD_SIZE": "0"},
        {"WORLD_SIZE": "1", "RANK": "1"},
        {"RANK": "-1"},
    ],
)
def test_a_job_that_is_described_in_part(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=r"WORLD_SIZE|RANK"):
        parallel.setup("cpu")


def test_an_address_without_sense(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"WORLD_SIZE": "2", "RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "x"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(RunError, match=r"do not meet at 127\.0\.0\.1:x"):
        parallel.setup("cpu")


@pytest.mark.parametrize(("count", "size"), [(21, 20), (7, 3), (8, 4), (5, 5), (9, 4)])
def test_no_part_is_a_single_example(count: int, size: int) -> None:
    found = [list(range(count))[part] for part in parts(count, size)]
    assert [i for part in found for i in part] == list(range(count))
    assert all(2 <= len(part) <= size for part in found)


def test_one_example_at_a_time_is_refused_where_batch_norm_cannot(tmp_path: Path) -> None:
    config = TrainConfig(
        arch="resnet18", channels=2, data=DataConfig("digits", train_examples=60), epochs=1, objective="standard"
    )
    for change, field in (({"batch_size": 1}, "batch_size"), ({"batch_size": 4, "micro_batch": 1}, "micro_batch")):
        with pytest.raises(ConfigError, match=f"{field}: got 1; expected 2 or more"):
            train(replace(config, **change), runs_dir=tmp_path, device="cpu", display=False)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("prefix", ["model.", "net.", "backbone.", "1.", "module.basic_net.", "_orig_mod.module.x.y."])
def test_prefixes_of_wrappers_are_taken_off(prefix: str, tmp_path: Path) -> None:
    network = build("resnet18", channels=2).eval()
    save_file({prefix + name: value for name, value in network.state_dict().items()}, tmp_path / "a.safetensors")
    x = torch.rand(2, 3, 16, 16)
    assert torch.equal(import_network(tmp_path / "a.safetensors", "resnet18").eval()(x), network(x))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v * float("nan"), "not finite"),
        (lambda v: v + 0j, "of another type"),
        (lambda v: v.long(), "of another type"),
    ],
    ids=["nan", "complex", "whole"],
)
def test_weights_that_are_no_numbers_are_listed(
    change: Callable[[torch.Tensor], torch.Tensor], message: str, tmp_path: Path
) -> None:
    state = build("resnet18", channels=2).state_dict()
    torch.save({name: change(v) if v.is_floating_point() else v for name, v in state.items()}, tmp_path / "w.pt")
    with pytest.raises(ModelError, match=message):
        import_network(tmp_path / "w.pt", "resnet18")


def test_what_stands_beside_the_network_is_not_dropped(tmp_path: Path) -> None:
    state = {f"1.{name}": value for name, value in build("resnet18", channels=2).state_dict().items()}
    save_file({**state, "0.mean": torch.zeros(3)}, tmp_path / "a.safetensors")
    with pytest.raises(ModelError, match=r"unknown: 0\.mean"):
        import_network(tmp_path / "a.safetensors", "resnet18")
    save_file({"features.0.weight": torch.zeros(3)}, tmp_path / "b.safetensors")
    with pytest.raises(ModelError, match=r"found: features\.0\.weight"):
        import_network(tmp_path / "b.safetensors", "resnet18")


def test_finished_runs_tell_their_numbers_and_names_are_printed_as_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    config = TrainConfig(
        name="x[red]:fire:", arch="resnet18", channels=2, data=DataConfig("digits", train_examples=60),
        epochs=1, batch_size=20, objective="standard",
    )  # fmt: skip
    run = train(config, device="cpu", display=False)
    again = train(config, device="cpu", display=False)
    assert (run.found, again.found) == (False, True)
    words = ["evaluate", str(run.path), "--attacks", "fgsm", "--eps", "0.1", "--data.test-examples", "10", "--quiet"]
    for expected in ("Linf, eps 0.1 (25.5/255), 10 images", "finished before"):
        assert main(words) == 0
        out = capsys.readouterr().out
        assert expected in out
        assert "%" in out
    assert main(["show", "python:fire:net[red]"]) == 2
    assert "python:fire:net[red]" in capsys.readouterr().err


def test_another_data_set_is_not_asked_for_the_runs_training_images(tmp_path: Path) -> None:
    config = TrainConfig(
        arch="resnet18", channels=2, data=DataConfig("digits", train_examples=60), epochs=1, batch_size=20,
        objective="standard",
    )  # fmt: skip
    run = train(config, runs_dir=tmp_path, device="cpu", display=False)
    images = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 1), dtype=np.uint8)
    for part in ("train", "test"):
        np.savez(tmp_path / f"{part}.npz", images=images, labels=np.arange(20) % 10)
    options = ["--data-dir", str(tmp_path), "--attacks", "fgsm", "--eps", "0.1", "--runs-dir", str(tmp_path)]
    assert main(["evaluate", str(run.path), "--data.dataset", "mine", *options]) == 0
