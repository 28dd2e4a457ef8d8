"""What commands say before, while and after they compute."""

import csv
import io
import re
from pathlib import Path

import pytest
import torch

from advrush.cli import main
from advrush.commands.opening import cost_line, run_line
from advrush.commands.options import Launch
from advrush.config import digest
from advrush.evaluation import ResultTable, as_target, wilson
from advrush.run import Run
from advrush.training import TrainConfig

RESULT = {
    "model": "train/x_1", "dataset": "digits", "examples": 40, "clean_acc": 0.9, "clean_interval": list(wilson(36, 40)),
    "threat_model": {"norm": "Linf", "eps": 8 / 255},
    "attacks": [
        {"name": "fgsm", "robust_acc": 0.5, "interval": list(wilson(20, 40)), "seconds": 1.25, "forwards": 80,
         "backwards": 40, "warnings": ["gradients vanish"]},
        {"name": "pgd20", "robust_acc": 0.4, "interval": list(wilson(16, 40)), "seconds": 2.0, "forwards": 1600,
         "backwards": 1500},
    ],
    "worst_case": {"robust_acc": 0.375, "interval": list(wilson(15, 40))},
}  # fmt: skip


def test_the_table_tells_radius_norm_images_and_intervals() -> None:
    text = ResultTable.of(RESULT).text()
    assert text.splitlines()[0] == "train/x_1 on digits, Linf, eps 0.03137 (8/255), 40 images"
    rows = {line.split("  ")[0]: line for line in text.splitlines()}
    assert "37.50%" in rows["worst case"]
    assert "24.2 to 53.0%" in rows["worst case"]
    assert rows["pgd20"].split()[-2:] == ["1,600", "1,500"]
    assert text.splitlines()[-1] == "warning: fgsm: gradients vanish"


def test_the_table_can_be_taken_away() -> None:
    table = ResultTable.of(RESULT)
    rows = list(csv.DictReader(io.StringIO(table.csv())))
    assert [row["attack"] for row in rows] == ["clean", "fgsm", "pgd20", "worst case"]
    assert float(rows[2]["accuracy"]) == 0.4
    assert (rows[2]["norm"], float(rows[2]["eps"]), rows[0]["norm"]) == ("Linf", 8 / 255, "")
    latex = table.latex()
    assert r"90.00\%" in latex
    assert latex.count(r"\\") == 5
    page = ResultTable.of({**RESULT, "model": "<b>"})._repr_html_()
    assert "&lt;b&gt;" in page
    assert page.count("<tr>") == 5


def test_a_table_of_no_threat_model_and_one_attack() -> None:
    plain = {key: value for key, value in RESULT.items() if key not in ("model", "dataset", "threat_model")}
    plain["attacks"] = RESULT["attacks"][:1]  # type: ignore[index]
    text = ResultTable.of(plain).text()
    assert text.splitlines()[0] == "40 images"
    assert "worst case" not in text


def test_where_a_run_goes_and_whether_it_goes_on(tmp_path: Path) -> None:
    config = TrainConfig(epochs=9)
    launch = Launch(runs_dir=tmp_path)
    path = tmp_path / "train" / f"adversarial-{digest(config)}"
    assert run_line(launch, "train", config) == str(path)
    path.mkdir(parents=True)
    Run(path).save_state({"epoch": 4})
    assert run_line(launch, "train", config) == f"{path}  (resuming at epoch 5 of 9)"
    (path / "result.json").write_text("{}")
    assert run_line(launch, "train", config).endswith("(finished before)")


def test_costs_are_told_where_they_are_known() -> None:
    assert cost_line("search", "paper").startswith("for one GPU, not measured there. At the step times measured on 2")
    assert cost_line("search", "paper").endswith("it is 2.6 days.")
    assert cost_line("train", "small-standard") == ""
    assert cost_line("train", "mine.toml") == ""


def test_start_progress_and_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = ["--runs-dir", str(tmp_path), "--device", "cpu"]
    small = ["--data.train-examples", "60", "--epochs", "1", "--channels", "2", "--validation-examples", "20"]
    train = ["train", "smoke", "--arch", "resnet18", *small, *place]
    assert main(train) == 0
    told = capsys.readouterr().out
    start = dict(line.split(maxsplit=1) for line in told.splitlines()[:5])
    assert start["data"] == "digits: 60 training and 355 test images of 8x8 pixels, gray, 10 classes"
    run = next((tmp_path / "train").iterdir())
    count = Run(run).result()["parameters"]
    assert start["network"] == f"ResNet-18, {count:,} parameters"
    assert start["device"].startswith(f"cpu, {torch.get_num_threads()} thread")
    assert start["run"] == str(run)
    assert "20 held-out images; PGD-5, Linf, eps 0.1; 95% intervals: clean" in told
    assert main(train) == 0
    again = capsys.readouterr().out
    assert "(finished before)" in again
    assert "finished before, not repeated: parameters" in again

    attack = ["evaluate", str(run), "--attacks", "fgsm", "--eps", "0.1", "--data.test-examples", "20", *place]
    tables = []
    for extra in ([], [], ["--quiet"]):
        assert main([*attack, *extra]) == 0
        text = capsys.readouterr().out
        found = re.search(r"^.* on digits, Linf, eps 0.1 \(25.5/255\), 20 images\n(.*\n)+?\n", text, re.MULTILINE)
        assert found is not None
        tables.append(found[0])
        assert ("attacks fgsm; Linf, eps 0.1" in text) == (not extra)
    assert tables[0] == tables[1] == tables[2]


def test_a_target_that_is_found_already_is_taken_as_it_is(tmp_path: Path) -> None:
    target = as_target(torch.nn.Flatten())
    assert as_target(target) is target
