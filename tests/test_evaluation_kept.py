"""What an evaluation keeps and tells on the way: examples, indices, classes, confusions, lines, its pace."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from advrush.attacks import FGSM, PGD, AutoAttack
from advrush.attacks.ensemble.record import Ledger
from advrush.config import digest
from advrush.data import DataConfig
from advrush.errors import AdvrushError
from advrush.evaluation import EvaluateConfig, evaluate, measure
from advrush.evaluation.lines import Pace, by_class, confusion
from advrush.evaluation.progress import Progress
from advrush.evaluation.results import AttackOutcome
from advrush.parallel import ALONE
from advrush.run import Run

DATA = DataConfig("digits", test_examples=60)


@pytest.fixture(scope="module")
def model() -> nn.Module:
    """Return a linear network fitted to the digits a little, so that attacks break some of them."""
    train = DATA.load().train
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    optimizer = torch.optim.Adam(network.parameters(), 0.05)
    x = train.images.float() / 255
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(x), train.labels).backward()
        optimizer.step()
    return network


@pytest.fixture(scope="module")
def kept(model: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Run:
    config = EvaluateConfig(data=DATA, attacks=("fgsm", "pgd5"), eps=0.08, save_examples=True, batch_size=25)
    return evaluate(model, config, runs_dir=tmp_path_factory.mktemp("runs"), device="cpu", display=False)


def test_indices_lead_back_to_the_images(kept: Run) -> None:
    images = kept.load_tensors("images.safetensors")
    whole, chosen = DataConfig("digits").load().test, DATA.load().test
    assert torch.equal(whole.images[images["index"]], chosen.images)
    assert torch.equal(whole.labels[images["index"]], images["label"])


def test_examples_are_in_the_ball_and_do_what_the_flags_say(kept: Run, model: nn.Module) -> None:
    examples, flags = kept.load_tensors("adversarial.safetensors"), kept.load_tensors("flags.safetensors")
    x, y = DATA.load().test.images.float() / 255, examples["label"]
    for name in ("fgsm", "pgd5"):
        x_adv = examples[f"x_adv/{name}"]
        assert float((x_adv - x).abs().max()) <= 0.08 + 1e-6
        assert (x_adv >= 0).all() and (x_adv <= 1).all()
        predicted = model(x_adv).argmax(1)
        assert torch.equal(predicted, examples[f"pred/{name}"])
        assert torch.equal(predicted == y, flags[name])
        assert not flags[name].all()
    assert torch.equal(examples["pred/clean"] == y, flags["clean"])


def test_classes_and_confusions_are_of_the_same_flags(kept: Run) -> None:
    result, flags = kept.result(), kept.load_tensors("flags.safetensors")
    labels = kept.load_tensors("images.safetensors")["label"]
    counts = torch.bincount(labels, minlength=10).tolist()
    for name in ("clean", "fgsm", "pgd5"):
        matrix = torch.tensor(result["confusion"][name])
        assert matrix.sum(1).tolist() == counts
        assert int(matrix.diagonal().sum()) == int(flags[name].sum())
        for label, accuracy in enumerate(result["by_class"][name]):
            assert accuracy == pytest.approx(matrix[label, label].item() / counts[label])


def test_a_class_without_images_has_no_accuracy_and_unknown_classes_have_columns() -> None:
    assert by_class(torch.tensor([True, False]), torch.tensor([0, 0]), 2) == [0.5, None]
    assert confusion(torch.tensor([0, 1]), torch.tensor([2, 1]), 2) == [[0, 0, 1], [0, 1, 0], [0, 0, 0]]


def test_without_being_asked_nothing_is_kept_and_the_digest_is_as_before(model: nn.Module, tmp_path: Path) -> None:
    config = EvaluateConfig(data=DATA, attacks=("fgsm",))
    run = evaluate(model, config, runs_dir=tmp_path, device="cpu", display=False)
    assert not (run.path / "adversarial.safetensors").exists()
    assert "confusion" not in run.result()
    assert digest(EvaluateConfig()) != digest(EvaluateConfig(save_examples=True))


def test_outcomes_are_told_as_they_are_there(model: nn.Module) -> None:
    test = DATA.load().test
    told: list[tuple[str, int]] = []
    batches: list[str] = []

    def tell(outcome: AttackOutcome) -> None:
        told.append((outcome.name, len(batches)))

    measure(
        model, test.images.float() / 255, test.labels, attacks=[FGSM(0.1), PGD(0.1, 3)], batch_size=20,
        on_batch=lambda progress, name: batches.append(name), on_outcome=tell,
    )  # fmt: skip
    fgsm = batches.count("fgsm")
    assert told == [("clean", 0), ("fgsm", fgsm), ("pgd3", len(batches))]


def test_a_line_for_each_attack_in_a_pipe(model: nn.Module, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evaluate(model, EvaluateConfig(data=DATA, attacks=("fgsm", "pgd2")), runs_dir=tmp_path, device="cpu")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "60 images; attacks in Linf, eps 0.031 (7.91/255)"
    assert [line.split()[0] for line in lines[1:4]] == ["clean", "fgsm", "pgd2"]


def test_the_pace_counts_what_is_done_and_ends_at_the_total(model: nn.Module) -> None:
    test = DATA.load().test
    x, y = test.images.float() / 255, test.labels
    attacks = [FGSM(0.05), AutoAttack(0.05)]
    pace = Pace(attacks, model, x, batch_size=20)
    seen: list[int] = []
    last: list[Any] = []

    def note(progress: Progress, name: str) -> None:
        seen.append(pace.done(progress))
        last.append(progress)
        if len(seen) == 12:
            raise KeyboardInterrupt

    assert pace.done(Progress()) == 0
    with pytest.raises(KeyboardInterrupt):
        measure(model, x, y, attacks=attacks, batch_size=20, on_batch=note)
    assert seen == sorted(seen)
    again = Progress.load(last[-1].state_dict(), len(x), "here")
    assert 0 < pace.done(again) == seen[-1] < pace.total
    rounds = pace.rounds["autoattack"]
    ended = Ledger.begin(torch.full((60,), -1, dtype=torch.int16), len(rounds), None)
    ended.position[0] = len(rounds)
    assert pace.done(Progress(None, {"autoattack": ended})) == 60 * sum(rounds)


def test_examples_are_kept_by_one_process_alone(model: nn.Module) -> None:
    from dataclasses import replace

    test = DATA.load().test
    with pytest.raises(AdvrushError, match="keep_examples"):
        measure(
            model, test.images.float() / 255, test.labels, attacks=[FGSM(0.1)], keep_examples=True,
            processes=replace(ALONE, world=2),
        )  # fmt: skip
