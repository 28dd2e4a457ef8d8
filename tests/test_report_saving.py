"""Cells as files and side by side: every edge is there, and what differs is marked."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import pytest
from rich.console import Console

from advrush.cli import main
from advrush.errors import ConfigError, GenotypeError
from advrush.report import architectures_of, compare, save_cells
from advrush.report.drawing.differences import only_in
from advrush.report.drawing.palette import primitive_label
from advrush.report.drawing.svg_pdf import _figure
from advrush.report.saving import drawn_cells
from advrush.space import PUBLISHED, CellGraph, GraphEdge
from report_runs import make_search, make_training


def test_edges_that_the_other_cell_lacks() -> None:
    first, second = PUBLISHED["ADVRUSH"].cells()["normal"], PUBLISHED["PDARTS"].cells()["normal"]
    found = only_in(first, second)
    common = Counter(first.edges) & Counter(second.edges)
    assert len(found) == len(first.edges) - sum(common.values())
    assert all(first.edges[index] not in common for index in found)
    assert only_in(first, first) == frozenset()
    assert only_in(first, None) == frozenset(range(8))
    twice = CellGraph(1, 1, (GraphEdge(0, 1, "skip_connect"),) * 2, (1,))
    once = CellGraph(1, 1, (GraphEdge(0, 1, "skip_connect"),), (1,))
    assert len(only_in(twice, once)) == 1


def test_two_genotypes_are_drawn_with_their_differences_marked() -> None:
    both = {name: PUBLISHED[name] for name in ("ADVRUSH", "PDARTS")}
    drawings = dict(drawn_cells(both))
    assert list(drawings) == [
        "ADVRUSH, normal cell", "PDARTS, normal cell", "ADVRUSH, reduction cell", "PDARTS, reduction cell",
    ]  # fmt: skip
    marks = [str(each).count('class="differs"') for each in drawings.values()]
    wanted = []
    for kind in ("normal", "reduce"):
        a, b = (each.cells()[kind] for each in both.values())
        wanted += [len(only_in(a, b)), len(only_in(b, a))]
    assert marks == wanted and min(marks) > 0
    assert 'class="differs"' not in str(drawn_cells({"ADVRUSH": PUBLISHED["ADVRUSH"]}))


@pytest.mark.parametrize("ending", ["dot", "mmd"])
def test_text_formats_hold_every_edge_once(ending: str, tmp_path: Path) -> None:
    path = save_cells({"ADVRUSH": PUBLISHED["ADVRUSH"]}, tmp_path / f"cells.{ending}")
    text = path.read_text()
    pattern = {
        "dot": r'cell(\d)_s(\d) -> cell\1_s(\d) \[label="([^"]+)"',
        "mmd": r'cell(\d)_s(\d) -->\|"([^"]+)"\| cell\1_s(\d)',
    }[ending]
    found = Counter(tuple(sorted(each)) for each in re.findall(pattern, text))
    wanted = Counter(
        tuple(sorted((str(k), str(edge.source), str(edge.target), primitive_label(edge.primitive))))
        for k, graph in enumerate(PUBLISHED["ADVRUSH"].cells().values())
        for edge in graph.edges
    )
    assert found == wanted
    assert text.count("Normal cell") == text.count("Reduction cell") == 1
    if ending == "mmd":
        links = [line for line in text.splitlines() if "-->" in line or "-.->" in line]
        styled = [int(number) for number in re.findall(r"linkStyle (\d+)", text)]
        assert all("-->" in links[number] for number in styled) and len(styled) == 16


def test_drawings_are_whole_files_and_the_same_each_time(tmp_path: Path) -> None:
    both = {name: PUBLISHED[name] for name in ("ADVRUSH", "PDARTS")}
    for ending in ("svg", "pdf"):
        contents = [save_cells(both, tmp_path / f"{name}.{ending}").read_bytes() for name in ("a", "b")]
        assert contents[0] == contents[1]
    root = ElementTree.parse(tmp_path / "a.svg").getroot()
    rects = root.findall(".//{http://www.w3.org/2000/svg}rect")
    figure = _figure(root)
    (axis,) = figure.axes
    drawn = [patch for patch in axis.patches if type(patch).__name__ == "FancyBboxPatch"]
    assert len(drawn) == len(rects)
    words = {text.get_text() for text in axis.texts}
    assert {"ADVRUSH, normal cell", "sep conv 3×3", r"c$_{\mathrm{k-2}}$"} <= words
    assert (tmp_path / "a.pdf").read_bytes().startswith(b"%PDF")
    assert "var(" not in (tmp_path / "a.svg").read_text()


def test_genotypes_are_found_in_runs(tmp_path: Path) -> None:
    search = make_search(tmp_path)
    text = PUBLISHED["PDARTS"].to_json()
    training = make_training(tmp_path, arch=text)
    found = architectures_of([str(search), str(training), "ADVRUSH"])
    assert list(found.values())[1:] == [PUBLISHED["PDARTS"], PUBLISHED["ADVRUSH"]]
    other = make_training(tmp_path, name="other", arch="resnet18")
    with pytest.raises(GenotypeError, match="resnet18"):
        architectures_of([str(other)])


def test_the_command_compares_and_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "ADVRUSH", "PDARTS"]) == 0
    assert "≠" in capsys.readouterr().out
    assert main(["show", "ADVRUSH", "--out", str(tmp_path / "cell.pdf")]) == 0
    assert (tmp_path / "cell.pdf").is_file()
    assert main(["show", "ADVRUSH", "--out", str(tmp_path / "cell.png")]) == 2
    assert "expected a file ending in .svg, .pdf, .dot, .mmd" in capsys.readouterr().err
    assert main(["show", "ADVRUSH", "PDARTS", "RACL"]) == 2
    with pytest.raises(ConfigError, match="did you mean"):
        save_cells({"A": PUBLISHED["ADVRUSH"]}, tmp_path / "cell.sgv")


def test_the_same_genotype_twice_differs_nowhere() -> None:
    console = Console(record=True, width=120)
    compare(["ADVRUSH", "advrush"], console)
    assert "≠" not in console.export_text()


def test_a_report_saves_its_figures_into_a_folder(tmp_path: Path) -> None:
    runs = [str(make_search(tmp_path, epochs=2, warmup=1)), str(make_training(tmp_path))]
    where = ["--out", str(tmp_path / "report.html"), "--figures"]
    for folder in ("a", "b"):
        assert main(["report", *runs, *where, str(tmp_path / folder)]) == 0
    files = {path.name: path.read_bytes() for path in sorted((tmp_path / "a").iterdir())}
    assert files == {path.name: path.read_bytes() for path in (tmp_path / "b").iterdir()}
    page = (tmp_path / "report.html").read_text()
    assert len(files) == 3 * page.count('<figure class="') > 0
    assert all(
        content.startswith({"svg": b"<svg", "pdf": b"%PDF"}.get(name[-3:], b"")) for name, content in files.items()
    )
    assert files["found-normal-cell-5eed0000.csv"].startswith(b"node,input,primitive,marked\n0,c_k-2,")
    assert b"7a110001" in files["training-loss-and-held-out-accuracies-by-epoch.svg"]
