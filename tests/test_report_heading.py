"""A report's title line, and the success rates of targeted attacks."""

import json
import re
from pathlib import Path

from advrush.evaluation.intervals import wilson
from advrush.report import Record, write_report
from advrush.report.heading import heading
from advrush.report.tables import cost_table, targeted_table
from report_runs import make_evaluation, make_training


def test_the_title_tells_networks_data_and_date(tmp_path: Path) -> None:
    paths = [make_training(tmp_path, name=f"net{i}", arch="resnet18") for i in range(4)]
    records = [Record.read(path) for path in paths]
    assert re.fullmatch(r"net0 \(ResNet-18\) on \S+, \d{1,2} [A-Z][a-z]+ \d{4}", heading(records[:1]))
    assert heading(records).startswith("4 networks on ")
    assert heading([]) == ""
    text = write_report(tmp_path / "r.html", title="Report", runs=paths[:1]).read_text()
    assert f'<p class="note">{heading(records[:1])}</p>' in text
    assert f"<title>Report: {heading(records[:1])}</title>" in text


def test_targeted_rates_stand_in_a_table_of_their_own(tmp_path: Path) -> None:
    path = make_evaluation(tmp_path, model="x", correct={"clean": 400, "pgd20": 300})
    plain = write_report(tmp_path / "plain.html", title="x", runs=[path]).read_text()
    assert "Targeted attacks" not in plain
    result = json.loads((path / "result.json").read_text())
    row = {
        "name": "pgd20_to_next", "target": "next", "targeted_success_rate": 0.25, "interval": list(wilson(100, 400)),
        "attacked": 400, "seconds": 3.5, "forwards": 8400, "backwards": 8000,
    }  # fmt: skip
    result["targeted"] = [row, {**row, "name": "fgsm_to_3", "targeted_success_rate": None, "attacked": 0}]
    (path / "result.json").write_text(json.dumps(result))
    record = Record.read(path)
    table = targeted_table([record], [record])
    shown = [(r[0].text.partition(", ")[2], r[1].text, r[1].detail, r[2].text) for r in table.rows]
    assert shown == [("PGD-20 to next", "25.00", "[21.0, 29.5]", "400"), ("FGSM to class 3", "–", "", "0")]
    assert [row[1].text for row in cost_table([record], [record]).rows] == ["2.5 s", "3.5 s", "3.5 s"]
    text = write_report(tmp_path / "r.html", title="x", runs=[path]).read_text()
    assert "Targeted attacks" in text and "PGD-20 to next" in text
