"""Leaderboards, and networks on the hub by a double of its interface."""

import json
import webbrowser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from advrush import config as configs
from advrush import leaderboard, load, push_to_hub
from advrush.cli import main
from advrush.errors import AdvrushError
from advrush.evaluation import EvaluateConfig, evaluate
from advrush.models.weights import hub as downloads
from advrush.report.records import Record
from advrush.run import Run
from advrush.training import TrainConfig, train
from report_runs import make_evaluation


def test_networks_are_ranked_within_their_threat_model_alone(tmp_path: Path) -> None:
    make_evaluation(tmp_path, model="weak<1>", correct={"clean": 9, "pgd20": 3}, examples=10)
    make_evaluation(tmp_path, digest="e0a1000b", model="strong", correct={"clean": 8, "pgd20": 5}, examples=10)
    make_evaluation(
        tmp_path, digest="e0a1000c", model="other", correct={"clean": 8, "pgd20": 7, "autoattack": 2}, examples=10
    )
    board = leaderboard([tmp_path], tmp_path / "board.json")
    assert json.loads((tmp_path / "board.json").read_text()) == board
    names = [[entry["name"] for entry in group["models"]] for group in board["groups"]]
    assert sorted(names, key=len) == [["other"], ["strong", "weak<1>"]]
    entry = next(each for group in board["groups"] for each in group["models"] if each["name"] == "other")
    assert (entry["clean_acc"], entry["autoattack_acc"], entry["threat_model"]) == ("80.00", "20.00", "Linf")
    ranked = next(group for group in board["groups"] if len(group["models"]) == 2)["models"]
    assert [entry["autoattack_acc"] for entry in ranked] == [None, None]
    assert {"seconds", "forwards", "backwards"} == set(ranked[0]["cost"])
    leaderboard([tmp_path], tmp_path / "board.html")
    page = (tmp_path / "board.html").read_text()
    assert "weak&lt;1&gt;" in page
    assert page.count("<table>") == 2


def test_a_result_of_another_shape_is_named(tmp_path: Path) -> None:
    run = make_evaluation(tmp_path, model="net", correct={"clean": 9, "pgd20": 3}, examples=10)
    result = json.loads((run / "result.json").read_text())
    result["worst_case"]["interval"] = [0.1, {}]
    (run / "result.json").write_text(json.dumps(result))
    with pytest.raises(AdvrushError, match=run.name):
        leaderboard([tmp_path])


def test_a_leaderboard_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AdvrushError, match="at least one finished evaluation"):
        leaderboard([tmp_path])
    make_evaluation(tmp_path, model="m", correct={"clean": 9, "pgd20": 3}, examples=10)
    with pytest.raises(AdvrushError, match=r"\.json or \.html"):
        leaderboard([tmp_path], tmp_path / "board.txt")


def test_the_command_writes_page_and_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs, out = tmp_path / "runs", tmp_path / "a board"
    make_evaluation(runs, model="weak", correct={"clean": 9, "pgd20": 3}, examples=10)
    make_evaluation(runs, digest="e0a1000b", model="strong", correct={"clean": 8, "pgd20": 5}, examples=10)
    assert main(["leaderboard", str(runs), "--out", str(out)]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in printed[2:4]] == [["1", "strong"], ["2", "weak"]]
    assert printed[-1] == f"leaderboard {out / 'leaderboard.html'}"
    board = json.loads((out / "leaderboard.json").read_text())
    assert [entry["name"] for entry in board["groups"][0]["models"]] == ["strong", "weak"]
    assert "strong" in (out / "leaderboard.html").read_text()
    assert main(["leaderboard", str(runs), "--out", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["groups"] == board["groups"]
    for words, message in (
        ([], "expected evaluations or folders"),
        ([str(tmp_path / "none")], "none"),
        ([str(out)], "at least one finished evaluation"),
        ([str(runs), "--out", str(out / "leaderboard.json")], "expected a folder"),
    ):
        assert main(["leaderboard", *words]) == 2
        assert message in capsys.readouterr().err


def test_a_report_is_opened_on_request(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_evaluation(tmp_path / "runs", model="net", correct={"clean": 9, "pgd20": 3}, examples=10)
    page, opened = tmp_path / "page.html", []
    monkeypatch.setattr(webbrowser, "open", lambda address: bool(opened.append(address)) or len(opened) == 1)
    command = ["report", str(tmp_path / "runs"), "--out", str(page)]
    assert main(command) == 0
    assert opened == []
    assert main([*command, "--open"]) == 0
    assert opened == [page.as_uri()]
    assert capsys.readouterr().err == ""
    assert main([*command, "--open"]) == 0
    assert "no browser was found" in capsys.readouterr().err


class Hub:
    """A double of the hub: files by repository, in memory and in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.private = folder, {}  # type: ignore[var-annotated]
        self.errors = SimpleNamespace(
            LocalEntryNotFoundError=type("Offline", (OSError,), {}),
            EntryNotFoundError=type("NoFile", (OSError,), {}),
            RepositoryNotFoundError=type("NoRepository", (OSError,), {}),
        )

    def create_repo(self, repo: str, *, private: bool, exist_ok: bool) -> None:
        assert exist_ok
        self.private[repo] = private

    def upload_file(self, *, path_or_fileobj: bytes, path_in_repo: str, repo_id: str) -> None:
        assert repo_id in self.private
        path = self.folder / repo_id / path_in_repo
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(path_or_fileobj)

    def hf_hub_download(self, repo: str, name: str) -> str:
        if repo not in self.private:
            raise self.errors.RepositoryNotFoundError(repo)
        if not (self.folder / repo / name).is_file():
            raise self.errors.EntryNotFoundError(name)
        return str(self.folder / repo / name)


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> Run:
    plain = {
        "name": "hub", "arch": "resnet18", "channels": 2, "epochs": 1, "batch_size": 20, "validation_examples": 10,
        "objective": "standard", "data": {"dataset": "digits", "train_examples": 60, "test_examples": 20},
        "augment": {"flip": False, "crop": 0},
    }  # fmt: skip
    runs = tmp_path_factory.mktemp("runs")
    run = train(configs.from_dict(TrainConfig, plain), runs_dir=runs, device="cpu", display=False)
    attack = EvaluateConfig(data=configs.from_dict(TrainConfig, plain).data, attacks=("fgsm",), eps=0.1)
    evaluate(run.path, attack, runs_dir=runs, device="cpu", display=False)
    return run


def test_pushed_and_loaded_it_is_the_same_network(
    training: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub: Any = Hub(tmp_path)
    monkeypatch.setattr(downloads, "library", lambda: hub)
    address = push_to_hub(training, "me/digits", api=hub)
    assert address == "hf:me/digits"
    assert hub.private == {"me/digits": True}
    x = torch.rand(3, 1, 8, 8)
    with torch.no_grad():
        assert torch.equal(load(address)(x), load(training.path)(x))
    text = (tmp_path / "me/digits/README.md").read_text()
    assert "eps 0.1 (25.5/255), 20 images" in text
    assert 'load("hf:me/digits")' in text
    assert "resnet18" in text
    assert str(training.path.parent.parent) not in text
    assert Record.read(training.path).result is not None


def test_what_is_not_there_is_told(training: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub: Any = Hub(tmp_path)
    monkeypatch.setattr(downloads, "library", lambda: hub)
    with pytest.raises(AdvrushError, match="no such repository"):
        load("hf:me/absent")
    hub.create_repo("me/empty", private=True, exist_ok=True)
    with pytest.raises(AdvrushError, match=r"no advrush\.safetensors in it"):
        load("hf:me/empty")
    evaluation = next((training.path.parent.parent / "evaluate").iterdir())
    with pytest.raises(AdvrushError, match="expected a finished training"):
        push_to_hub(evaluation, "me/x", api=hub)
