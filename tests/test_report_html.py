"""The page as a whole: valid, self-contained, complete, and true to the runs."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from advrush.errors import RunError
from advrush.report import Section, write_report
from advrush.report.tables import percent
from advrush.space import PUBLISHED
from report_runs import make_evaluation, make_search, make_training

VOID = {"meta", "link", "img", "br", "hr", "input"}
ALL = ["search", "training", "robustness", "examples", "runs"]


class Page(HTMLParser):
    """A parsed page: ids, addresses, tables, headings; raises for tags that do not close."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.tables: list[list[list[str]]] = []
        self.images: list[dict[str, str | None]] = []
        self.classes: list[str] = []
        self.words: list[str] = []
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        assert not self.stack

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag not in VOID:
            self.stack.append(tag)
        self.ids += [value for key, value in attrs if key == "id" and value]
        self.addresses += [value for key, value in attrs if key in ("src", "href", "xlink:href", "action") and value]
        self.classes += (values.get("class") or "").split()
        if tag == "img":
            self.images.append(values)
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.stack.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag, tag

    def handle_data(self, data: str) -> None:
        if self.stack and self.stack[-1] in ("td", "th", "small"):
            self.tables[-1][-1][-1] += data if self.stack[-1] != "small" else f" {data}"
        elif self.stack and self.stack[-1] not in ("style", "title"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("runs")
    search = make_search(folder)
    genotype = json.dumps(json.loads((search / "result.json").read_text())["genotype"])
    ours = make_training(folder, name="network", arch=genotype, parameters=35_210)
    other = make_training(folder, name="resnet", parameters=1_036_900, level=0.45)
    return {
        "search": search,
        "ours": ours,
        "other": other,
        "attack_ours": make_evaluation(
            folder, model=f"train/{ours.name}", digest="aaaaaaaa", correct={"clean": 431, "fgsm": 300, "pgd20": 251}
        ),
        "attack_other": make_evaluation(
            folder, model=f"train/{other.name}", digest="bbbbbbbb", correct={"clean": 440, "fgsm": 280, "pgd20": 214},
            color=True,
        ),
    }  # fmt: skip


@pytest.fixture(scope="module")
def page(runs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Page:
    path = write_report(tmp_path_factory.mktemp("page") / "report.html", title="A <title>", runs=list(runs.values()))
    return Page(path)


def test_a_full_report_has_every_section_and_asks_nothing_of_a_network(page: Page) -> None:
    assert [name for name in page.ids if name in ALL] == ALL
    assert len(set(page.ids)) == len(page.ids)
    assert all(address.startswith(("data:", "#")) for address in page.addresses)
    assert {address[1:] for address in page.addresses if address.startswith("#")} <= set(page.ids)
    assert not re.search(r"@import|<script[^>]|url\((?!#)|srcset", page.source)
    assert page.source.count("<script>") == 1, "its own, inline, and nothing that fetches"
    assert not re.search(r"fetch\(|XMLHttpRequest|WebSocket|import\(|https?:", page.source.split("<script>")[1])
    outside = re.findall(r"https?://[^\s\"'<]+", page.source)
    assert all(address.startswith("http://www.w3.org/") for address in outside), "other than names of XML vocabularies"
    assert "<h1>A &lt;title&gt;</h1>" in page.source


def test_its_table_holds_the_numbers_of_the_results(page: Page, runs: dict[str, Path]) -> None:
    head, *rows = page.tables[0]
    assert head == ["model", "parameters", "clean", "FGSM", "PGD-20", "worst case"]
    for row, run in zip(rows, ("attack_ours", "attack_other"), strict=True):
        result = json.loads((runs[run] / "result.json").read_text())
        pairs = [(result["clean_acc"], result["clean_interval"])]
        pairs += [(attack["robust_acc"], attack["interval"]) for attack in result["attacks"]]
        pairs.append((result["worst_case"]["robust_acc"], result["worst_case"]["interval"]))
        wanted = [f"{percent(acc)} [{percent(low, 1)}, {percent(high, 1)}]" for acc, (low, high) in pairs]
        assert row[2:] == wanted
    assert [row[:2] for row in rows] == [["network (architecture found)", "35.2 k"], ["resnet (ResNet-18)", "1.04 M"]]


def test_its_drawings_match_the_genotype_and_its_pictures_have_words(page: Page, runs: dict[str, Path]) -> None:
    genotype = json.loads((runs["search"] / "genotype.json").read_text())
    cells = 1 + page.classes.count("scene")  # what was found, and each scene of the film
    assert page.classes.count("edge") == cells * (len(genotype["normal"]) + len(genotype["reduce"]))
    assert page.classes.count("state") == cells * 2 * (2 + 4 + 1)
    assert page.classes.count("weight") == 2 * 14 * 8
    assert len(page.images) == 2 * 6 * 3
    assert all(image["alt"] and str(image["src"]).startswith("data:image/png;base64,") for image in page.images)
    assert page.source.count('role="img"') == page.source.count("<svg")


def test_its_summary_tells_the_search_and_the_outcome(page: Page, runs: dict[str, Path]) -> None:
    assert (
        "Search found ran 10 epochs, 6 of them warm-up, on digits (in 35.0 s) and found a normal cell of" in page.text
    )
    assert "It classifies 86.20% of the clean test images correctly" in page.text
    config = (runs["search"] / "config.toml").read_text().split()
    assert " ".join(config) in page.text


def test_the_same_runs_give_the_same_bytes(runs: dict[str, Path], tmp_path: Path) -> None:
    texts = {write_report(tmp_path / name, title="Twice", runs=list(runs.values())).read_bytes() for name in ("a", "b")}
    assert len(texts) == 1


@pytest.mark.parametrize(
    ("names", "sections"),
    [
        (["search"], ["search", "runs"]),
        (["ours"], ["training", "runs"]),
        (["attack_other"], ["robustness", "examples", "runs"]),
        (["search", "other"], ["search", "training", "runs"]),
    ],
)
def test_what_is_missing_is_left_out(
    names: list[str], sections: list[str], runs: dict[str, Path], tmp_path: Path
) -> None:
    page = Page(write_report(tmp_path / "report.html", title="Part", runs=[runs[name] for name in names]))
    assert [name for name in page.ids if name in ALL] == sections


def test_an_evaluation_alone_finds_the_name_and_size_of_its_network_beside_it(
    runs: dict[str, Path], tmp_path: Path
) -> None:
    page = Page(write_report(tmp_path / "report.html", title="One", runs=[runs["attack_other"]]))
    assert page.tables[0][1][:2] == ["resnet (ResNet-18)", "1.04 M"]


def test_unfinished_runs_say_how_far_they_came(tmp_path: Path) -> None:
    runs = [make_search(tmp_path, done=False), make_training(tmp_path, done=False)]
    text = Page(write_report(tmp_path / "report.html", title="Half", runs=runs)).text
    assert "unfinished: 5 of 10 epochs, 17.5 s so far" in text
    assert "unfinished: 4 of 8 epochs" in text


def test_a_run_that_has_only_begun_or_never_measured_curvature_is_no_obstacle(tmp_path: Path) -> None:
    begun = make_search(tmp_path, name="begun", done=False, epochs=1)
    bare = make_search(tmp_path, name="bare", measured=False, warmup=10)
    page = Page(write_report(tmp_path / "report.html", title="Bare", runs=[begun, bare]))
    assert "L_λ from" not in page.source.replace("<i>L</i><sub>λ</sub>", "L_λ")
    assert "search" in page.ids


def test_seeds_are_compared(tmp_path: Path) -> None:
    runs = [make_search(tmp_path, seed=seed) for seed in range(3)]
    page = Page(write_report(tmp_path / "report.html", title="Seeds", runs=runs))
    assert "seeds" in page.ids
    assert [row[0] for row in page.tables[0]] == [
        "searches", "mean of all pairs", "seed 0 – seed 1", "seed 0 – seed 2", "seed 1 – seed 2",
    ]  # fmt: skip
    pairs = [[float(value) for value in row[1:]] for row in page.tables[0][2:]]
    means = [float(value) for value in page.tables[0][1][1:]]
    assert means == pytest.approx([sum(column) / 3 for column in zip(*pairs, strict=True)], abs=1)


def test_a_collapse_to_skip_connections_is_pointed_out(tmp_path: Path) -> None:
    run = make_search(tmp_path)
    genotype = PUBLISHED["ADVRUSH"].to_dict()
    genotype["reduce"] = [["skip_connect", source] for _, source in genotype["reduce"]]
    result = json.loads((run / "result.json").read_text()) | {"genotype": genotype}
    (run / "result.json").write_text(json.dumps(result))
    text = Page(write_report(tmp_path / "report.html", title="Collapse", runs=[run])).text
    assert "More than half of the edges of the reduction cell are skip connections" in text


def test_names_from_runs_are_escaped_and_sections_of_ones_own_come_last(tmp_path: Path) -> None:
    run = make_evaluation(tmp_path, model="<script>alert(1)</script>", correct={"clean": 9, "pgd20": 3}, examples=10)
    own = Section("mine", "Mine & yours", "<p>plain text, not markup</p>")  # type: ignore[arg-type]
    page = Page(write_report(tmp_path / "new" / "report.html", title="Escape", runs=[run], sections=[own]))
    assert "<script>" not in page.source
    assert page.ids[-1] == "mine"
    assert "&lt;p&gt;plain text" in page.source


def test_a_folder_that_is_no_run_and_damaged_files_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"not a run directory"):
        write_report(tmp_path / "report.html", title="None", runs=[tmp_path])
    run = make_search(tmp_path)
    last = sorted((run / "alphas").iterdir())[-1]
    last.write_bytes(b"not tensors")
    with pytest.raises(RunError, match=last.name):
        write_report(tmp_path / "report.html", title="Damaged", runs=[run])
    (run / "result.json").write_text("{")
    with pytest.raises(RunError, match=r"damaged run directory"):
        write_report(tmp_path / "report.html", title="Damaged", runs=[run])
    assert not (tmp_path / "report.html").exists()
