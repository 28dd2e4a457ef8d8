"""The transfer matrix: rows are sources, the diagonal is the white-box value, examples are made once."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import torch

import linear_digits
from advrush.attacks import PGD
from advrush.cli import main
from advrush.errors import ConfigError
from advrush.evaluation import EvaluateConfig, TransferConfig, evaluate, transfer
from advrush.run import Run
from test_evaluation import DIGITS, model

CONFIG = TransferConfig(data=DIGITS, attack="pgd3", eps=0.1, batch_size=16)


def trained(seed: int) -> torch.nn.Module:
    net, split = model(seed), DIGITS.load().train
    optimizer = torch.optim.Adam(net.parameters(), 0.01)
    for _ in range(30):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(net(split.images.float() / 255), split.labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return net


@pytest.fixture(scope="module")
def networks() -> list[torch.nn.Module]:
    return [trained(0), trained(1)]


def check_every_entry(run: Run, networks: list[torch.nn.Module]) -> None:
    """Compute each entry from the kept examples: row = whose examples, column = who is attacked with them."""
    result, test = run.result(), DIGITS.load().test
    x = test.images.float() / 255
    clean = [net(x).argmax(1) == test.labels for net in networks]
    assert result["clean"] == [flags.double().mean().item() for flags in clean]
    kept = {
        f"{about['model']}:{about['weights']}": Run.at(path).load_tensors("x_adv.safetensors")["x_adv"]
        for path in (run.path.parent.parent / "examples").iterdir()
        if (about := tomllib.loads((path / "config.toml").read_text()))
    }
    for row, name in enumerate(tomllib.loads((run.path / "config.toml").read_text())["models"]):
        x_adv = kept[name]
        assert 0 < (x_adv - x).abs().max() <= 0.1 + 1e-6
        for column, net in enumerate(networks):
            flags = net(x_adv).argmax(1) == test.labels
            flags = flags & clean[row] if row == column else flags
            assert result["matrix"][row][column] == flags.double().mean().item(), (row, column)


def test_diagonal_is_the_white_box_value(tmp_path: Path, networks: list[torch.nn.Module]) -> None:
    run = transfer(networks, CONFIG, runs_dir=tmp_path, device="cpu", display=False)
    matrix = run.result()["matrix"]
    for index, net in enumerate(networks):
        config = EvaluateConfig(data=DIGITS, attacks=("pgd3",), eps=0.1, batch_size=16)
        tested = evaluate(net, config, runs_dir=tmp_path, device="cpu", display=False).result()
        assert matrix[index][index] == tested["attacks"][0]["robust_acc"]
        assert run.result()["clean"][index] == tested["clean_acc"]
    assert matrix[0][0] < matrix[0][1]
    assert matrix[1][1] < matrix[1][0]


def test_entries_are_accuracies_on_the_sources_examples(tmp_path: Path, networks: list[torch.nn.Module]) -> None:
    run = transfer(networks, CONFIG, runs_dir=tmp_path, device="cpu", display=False)
    assert len(list((tmp_path / "examples").iterdir())) == 2
    check_every_entry(run, networks)
    turned = transfer(networks[::-1], CONFIG, runs_dir=tmp_path, device="cpu", display=False)
    assert turned.result()["matrix"] == [row[::-1] for row in run.result()["matrix"][::-1]]
    check_every_entry(turned, networks[::-1])
    (a, b), (c, d) = run.result()["matrix"]
    assert len({a, b, c, d}) == 4, "no two entries can be exchanged unseen"


def test_examples_of_a_source_are_made_once(
    tmp_path: Path, networks: list[torch.nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    transfer(networks, CONFIG, runs_dir=tmp_path, device="cpu", display=False)
    calls: list[int] = []
    original = PGD.__call__

    def counted(self: PGD, *arguments: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        return original(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(PGD, "__call__", counted)
    transfer([*networks, trained(2)], CONFIG, runs_dir=tmp_path, device="cpu", display=False)
    only_third = len(calls)
    assert 0 < only_third <= 60 // 16 + 2


def test_one_network_is_no_matrix(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="at least two networks"):
        transfer([model()], CONFIG, runs_dir=tmp_path, device="cpu", display=False)


def test_two_processes_find_the_matrix_of_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Under torchrun: each process attacks half of the batches; one of them writes and prints."""
    arguments = ["transfer", "python:linear_digits:make", "python:linear_digits:make_coarse",
                 "--data.dataset", "digits", "--data.test-examples", "60", "--attack", "pgd3", "--eps", "0.05",
                 "--batch-size", "16", "--device", "cpu", "--runs-dir"]  # fmt: skip
    assert main([*arguments, str(tmp_path / "one")]) == 0
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "advrush.cli"]
    here = Path(__file__).parent
    done = subprocess.run(
        [sys.executable, *launch, *arguments, str(tmp_path / "two")], cwd=here, capture_output=True, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    one, two = (Run.at(next((tmp_path / name / "transfer").iterdir())) for name in ("one", "two"))
    (a, b), (c, d) = matrix = one.result()["matrix"]
    assert two.result()["matrix"] == matrix
    for run in (one, two):
        check_every_entry(run, [linear_digits.make(), linear_digits.make_coarse()])
    assert a < c and d < b, "an attack of the network itself is stronger than that of another"
    assert all(output.count("accuracy in percent") == 1 for output in (capsys.readouterr().out, done.stdout))
