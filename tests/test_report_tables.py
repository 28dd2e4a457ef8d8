"""Tables, agreement and the terminal."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from rich.console import Console

from advrush.errors import GenotypeError, RunError
from advrush.evaluation import wilson
from advrush.report import Record, genotype_text, list_runs, show
from advrush.report.agreement import Agreement, agree, mean, pairwise
from advrush.report.names import model_names
from advrush.report.records import find_records
from advrush.report.tables import (
    accuracies,
    accuracy_table,
    by_threat,
    cost_table,
    duration,
    format_count,
    format_eps,
    training_table,
    transfer_table,
)
from advrush.space import PUBLISHED, CellGraph, GraphEdge
from report_runs import make_evaluation, make_search, make_training


def printed(action, width: int = 140) -> str:  # type: ignore[no-untyped-def]
    console = Console(width=width, color_system=None, force_terminal=False)
    with console.capture() as capture:
        action(console)
    return capture.get()


def test_numbers_for_people() -> None:
    assert [duration(s) for s in (0.04, 59.94, 59.96, 200, 3599.6, 7500)] == [
        "0.0 s", "59.9 s", "1 min 00 s", "3 min 20 s", "1 h 00 min", "2 h 05 min",
    ]  # fmt: skip
    assert [format_count(n) for n in (None, 812, 35_210, 4_158_046)] == ["–", "812", "35.2 k", "4.16 M"]
    assert [format_eps(eps) for eps in (8 / 255, 0.031, 0.5, 1 / 255)] == [
        "8/255 (0.0314)", "0.031 (7.9/255)", "0.5 (127.5/255)", "1/255 (0.0039)",
    ]  # fmt: skip


def test_missing_intervals_are_wilson_s(tmp_path: Path) -> None:
    run = make_evaluation(tmp_path, model="mine", correct={"clean": 90, "pgd20": 40}, examples=100)
    result = json.loads((run / "result.json").read_text())
    whole = accuracies(result)
    del result["clean_interval"], result["attacks"][0]["interval"]
    assert accuracies(result) == whole == {"clean": (0.9, *wilson(90, 100)), "pgd20": (0.4, *wilson(40, 100))}


def test_the_best_of_a_column_is_marked_and_absent_attacks_are_dashes(tmp_path: Path) -> None:
    one = make_evaluation(tmp_path, model="a", digest="1" * 8, correct={"clean": 400, "fgsm": 300, "pgd20": 200})
    two = make_evaluation(tmp_path, model="b", digest="2" * 8, correct={"clean": 390, "pgd20": 210})
    records = [Record.read(path) for path in (one, two)]
    table = accuracy_table("here", records, records)
    assert table.columns == ("model", "parameters", "clean", "FGSM", "PGD-20", "worst case")
    assert [[entry.text for entry in row][2:5] for row in table.rows] == [
        ["80.00", "60.00", "40.00"], ["78.00", "–", "42.00"],
    ]  # fmt: skip
    assert [[entry.best for entry in row][2:5] for row in table.rows] == [[True, True, False], [False, False, True]]
    assert "| a | – | **80.00** [76.3, 83.3] | **60.00**" in table.to_markdown()
    assert [entry.text for entry in cost_table(records, records).rows[0]] == ["a, FGSM", "2.5 s", "10,000", "9,500"]


def test_other_images_or_threats_are_another_table(tmp_path: Path) -> None:
    runs = [make_evaluation(tmp_path, model="a", digest=f"{i}" * 8, correct={"clean": 9, "pgd20": 3}, examples=10 * i)
            for i in (1, 2, 3)]  # fmt: skip
    result = json.loads((runs[2] / "result.json").read_text())
    result |= {"examples": 10, "threat_model": {"norm": "L2", "eps": 0.5}}
    (runs[2] / "result.json").write_text(json.dumps(result))
    captions = list(by_threat([Record.read(run) for run in runs]))
    assert captions == [
        "digits, 10 test images, Linf attacks with eps = 0.031 (7.9/255)",
        "digits, 20 test images, Linf attacks with eps = 0.031 (7.9/255)",
        "digits, 10 test images, L2 attacks with eps = 0.5 (127.5/255)",
    ]


def test_trainings_are_listed_with_how_far_they_came(tmp_path: Path) -> None:
    records = [Record.read(make_training(tmp_path, name=name, done=name == "a")) for name in "ab"]
    rows = [[entry.text for entry in row] for row in training_table(records, records).rows]
    assert rows[0][:5] == ["a (ResNet-18)", "pgd", "35.2 k", "8", "8"]
    assert rows[0][-1] == "5 min 28 s"
    assert rows[1][:5] == ["b (ResNet-18)", "pgd", "–", "4 of 8, unfinished", "–"]


def test_agreement_counts_edges_as_multisets() -> None:
    a = CellGraph(1, 2, (GraphEdge(0, 1, "p"), GraphEdge(0, 2, "q"), GraphEdge(0, 2, "q"), GraphEdge(1, 2, "p")), (2,))
    b = CellGraph(1, 2, (GraphEdge(0, 1, "q"), GraphEdge(0, 2, "q"), GraphEdge(1, 2, "p"), GraphEdge(1, 2, "r")), (2,))
    assert agree(a, a) == Agreement(1, 1, 1)
    assert agree(a, b) == agree(b, a) == Agreement(wiring=0.75, edges=0.5, primitives=0.75)
    assert mean([agree(a, a), agree(a, b)]) == Agreement(0.875, 0.75, 0.875)


def test_every_pair_of_architectures_is_compared_by_kind() -> None:
    found = {name: PUBLISHED[name] for name in ("ADVRUSH", "DARTS_V2", "NASNet")}
    pairs = pairwise(found)
    assert list(pairs) == [("ADVRUSH", "DARTS_V2"), ("ADVRUSH", "NASNet"), ("DARTS_V2", "NASNet")]
    normal = pairs["ADVRUSH", "DARTS_V2"]["normal"]
    assert normal == Agreement(wiring=7 / 8, edges=5 / 8, primitives=6 / 8)


def test_show_prints_a_published_genotype_a_file_and_a_text_alike(tmp_path: Path) -> None:
    file = tmp_path / "mine.json"
    file.write_text(PUBLISHED["ADVRUSH"].to_json())
    by_name = printed(lambda console: show("advrush", console))
    assert by_name == printed(lambda console: show(str(file), console))
    assert by_name == printed(lambda console: show(PUBLISHED["ADVRUSH"].to_darts(), console))
    lines = [" ".join(line.split()) for line in by_name.splitlines()]
    assert lines[0] == "Normal cell"
    assert lines[1] == "node 0 = sep conv 3×3 of c_k-1 + sep conv 3×3 of c_k-2"
    assert "output = concat of nodes 0, 1, 2, 3" in lines
    assert "skip (4) sep conv 3×3 (2) dil conv 3×3 (1) avg pool 3×3 (1)" in lines


def test_show_refuses_what_is_nothing_with_a_suggestion(tmp_path: Path) -> None:
    console = Console()
    with pytest.raises(GenotypeError, match=r"did you mean 'ADVRUSH'"):
        show("ADVRUHS", console)
    with pytest.raises(RunError, match=r"not a run directory"):
        show(str(tmp_path), console)
    with pytest.raises(GenotypeError, match=r"unknown primitive"):
        show(PUBLISHED["RACL"].to_json().replace("sep_conv_3x3", "sep_conv_9x9"), console)


def test_show_prints_a_run_with_its_numbers_and_cells(tmp_path: Path) -> None:
    search = make_search(tmp_path, done=False)
    text = printed(lambda console: show(str(search), console))
    assert "epoch 5 of 10, 17.5 s" in text
    assert "Reduction cell" in text
    training = make_training(tmp_path, arch=PUBLISHED["ADVRUSH"].to_json())
    text = printed(lambda console: show(str(training), console))
    assert "35.2 k" in text
    assert "Normal cell" in text
    evaluation = make_evaluation(tmp_path, model="mine", correct={"clean": 9, "pgd20": 3}, examples=10)
    text = printed(lambda console: show(str(evaluation), console))
    assert "90.00%" in text
    assert text == printed(lambda console: console.print(genotype_text(evaluation)))


def test_runs_are_listed_with_state_and_age_the_newest_first(tmp_path: Path) -> None:
    search, training = make_search(tmp_path, done=False), make_training(tmp_path)
    make_evaluation(tmp_path, model=f"train/{training.name}", correct={"clean": 9, "pgd20": 3}, examples=10)
    for file in search.iterdir():
        os.utime(file, (0, 0))
    (tmp_path / "train" / "broken-00000000").mkdir()
    (tmp_path / "train" / "broken-00000000" / "config.toml").write_text("not = = toml")
    assert [record.stage for record in find_records(tmp_path)] == ["search", "train", "evaluate"]
    lines = printed(lambda console: list_runs(tmp_path, console)).splitlines()
    assert lines[0].split() == ["digest", "stage", "name", "state", "numbers", "changed"]
    assert lines[3].split()[:6] == ["5eed0000", "search", "found", "epoch", "5", "of"]
    assert lines[3].rstrip().endswith("d ago")
    tested, trained = sorted(lines[1:3], key=lambda line: line.split()[1])
    assert "done" in trained
    assert "network (ResNet-18)" in tested
    assert "clean 90.00%  robust 30.00%" in tested
    assert "no runs in" in printed(lambda console: list_runs(tmp_path / "nothing", console))


def make_transfer(runs: Path) -> Record:
    """Return a transfer among a training of the report and a weights file."""
    path = runs / "transfer" / "transfer-0a1b2c3d"
    path.mkdir(parents=True)
    (path / "config.toml").write_text('attack = "pgd20"\n')
    training = make_training(runs)
    result = {
        "models": [Record.read(training).label, "weights.safetensors"], "examples": 200, "dataset": "digits",
        "attack": "pgd20", "threat_model": {"norm": "Linf", "eps": 0.1}, "clean": [0.9, 0.8],
        "matrix": [[0.4, 0.6], [0.7, 0.35]],
    }  # fmt: skip
    (path / "result.json").write_text(json.dumps(result))
    return Record.read(path)


def test_a_transfer_s_rows_are_sources_and_its_diagonal_is_marked(tmp_path: Path) -> None:
    record = make_transfer(tmp_path)
    table = transfer_table(record, find_records(tmp_path))
    assert table.columns[2] == "weights.safetensors" and table.columns[1].startswith("network")
    assert [[entry.text for entry in row][1:] for row in table.rows] == [
        ["90.00", "80.00"], ["40.00", "60.00"], ["70.00", "35.00"],
    ]  # fmt: skip
    assert [[entry.detail for entry in row][1:] for row in table.rows[1:]] == [["white box", ""], ["", "white box"]]
    assert "Linf eps = 0.1 (25.5/255)" in table.caption
    assert "networks 2  attack PGD-20" in printed(lambda console: list_runs(tmp_path, console))


def test_a_wide_transfer_numbers_its_networks(tmp_path: Path) -> None:
    record = make_transfer(tmp_path)
    result = json.loads((record.path / "result.json").read_text())
    result |= {"models": [f"python:nets:{name}" for name in "abcde"], "clean": [0.9] * 5, "matrix": [[0.5] * 5] * 5}
    (record.path / "result.json").write_text(json.dumps(result))
    table = transfer_table(Record.read(record.path), [])
    assert table.columns[1:] == ("[1]", "[2]", "[3]", "[4]", "[5]")
    assert [row[0].text for row in table.rows][:2] == ["no attack", "[1] python:nets:a"]


def test_evaluations_stand_in_the_order_of_their_networks(tmp_path: Path) -> None:
    for digest, model in enumerate("cab"):
        make_evaluation(tmp_path, model=model, digest=str(digest), correct={"clean": 9, "pgd20": 3}, examples=10)
    assert [record.config["model"] for record in find_records(tmp_path)] == ["a", "b", "c"]


def test_what_low_precision_searched_is_said(tmp_path: Path) -> None:
    run = make_evaluation(tmp_path, model="a", correct={"clean": 9, "pgd20": 3}, examples=10)
    result = json.loads((run / "result.json").read_text())
    result["precision"] = {"searched": "bfloat16", "verified": "float32"}
    (run / "result.json").write_text(json.dumps(result))
    (caption,) = by_threat([Record.read(run)])
    assert caption.endswith("searched in bfloat16 and verified in float32")


def test_a_damaged_training_does_not_hide_its_evaluation(tmp_path: Path) -> None:
    training = make_training(tmp_path)
    run = make_evaluation(tmp_path, model=f"train/{training.name}", correct={"clean": 9, "pgd20": 3}, examples=10)
    (training / "result.json").write_text("")
    record = Record.read(run)
    assert model_names([record], [record]) == {run: f"train/{training.name}"}
