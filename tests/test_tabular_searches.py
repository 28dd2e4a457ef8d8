"""Searches judged by a table, from contenders to the report."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from advrush.cli import main
from advrush.commands.options import read_recipe
from advrush.errors import ConfigError, GenotypeError
from advrush.models.count import parameters
from advrush.models.network import Network
from advrush.models.supernet import Supernet
from advrush.report.records import Record
from advrush.run import Run
from advrush.searching import SearchConfig
from advrush.space import DARTS, NASBENCH201, PUBLISHED
from advrush.space.isomorphism import canonical
from advrush.space.nasbench201 import Cell201, all_cells
from advrush.tabular import (
    BenchmarkConfig,
    InheritedNetwork,
    InheritedScores,
    NetworkSize,
    Table,
    benchmark,
    contenders,
    read_table,
)
from advrush.tabular.inherited import recalibrate
from advrush.tabular.network_size import parameters_of_rows

SMOKE = replace(read_recipe("search", SearchConfig, "smoke"), space="nasbench201")


def write_table(path: Path, cells: list[Cell201]) -> Table:
    lines = [f"{cell.to_text()},{i / len(cells):.6f},{i % 7}" for i, cell in enumerate(cells)]
    path.write_text("\n".join(["arch,clean,pgd", *lines]) + "\n")
    return read_table(path)


@cache
def one_of_each() -> list[Cell201]:
    return list({canonical(cell): cell for cell in all_cells()}.values())


def test_words_become_searches() -> None:
    found = {each.label: each for each in contenders(("darts", "advrush:gamma=0.5:epochs=7", "best-of-3"), SMOKE)}
    assert list(found) == ["darts", "advrush:gamma=0.5:epochs=7", "best-of-3", "random", "largest"]
    darts, advrush = found["darts"].search, found["advrush:gamma=0.5:epochs=7"].search
    assert darts is not None and darts.objective == "darts" and darts.space == "nasbench201"
    assert advrush is not None and (advrush.objective, advrush.curvature.gamma, advrush.epochs) == ("advrush", 0.5, 7)
    assert darts.name != advrush.name and advrush.batch_size == SMOKE.batch_size
    assert found["largest"].is_deterministic and not found["random"].is_deterministic


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("advrsh",), "did you mean 'advrush'"),
        (("best-of-0",), "best-of-N"),
        (("darts", "darts"), "named twice"),
        (("advrush:gamma",), "field=value"),
        (("advrush:gama=1",), "gama"),
        (("advrush:gamma=-1",), "curvature.gamma: got -1"),
    ],
)
def test_other_words_are_refused(words: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        contenders(words, SMOKE)


def test_choices_without_a_search(tmp_path: Path) -> None:
    table = write_table(tmp_path / "t.csv", one_of_each()[::40])
    words = {each.label: each for each in contenders(("best-of-50",), SMOKE)}
    largest = words["largest"].choose(table, "clean", 0, (4, 3))
    counts = [parameters(Network(row.genotype, 4, 3)) for row in table.rows]
    assert counts == parameters_of_rows(table.rows, 4, 3)
    assert largest.index == int(np.argmax(counts))
    drawn = {words["random"].choose(table, "clean", seed, (4, 3)).index for seed in range(20)}
    assert len(drawn) > 10
    best = [table.standing("clean", words["best-of-50"].choose(table, "clean", s, (4, 3)).measured["clean"]).percentile
            for s in range(20)]  # fmt: skip
    assert np.mean(best) < 6  # the expected best of fifty is the top 2 percent


@pytest.mark.parametrize(("space", "layers"), [(NASBENCH201, 3), (DARTS, 3)])
def test_inherited_weights_are_the_supernets_with_one_primitive_an_edge(space: object, layers: int) -> None:
    assert space in (NASBENCH201, DARTS)
    chosen = NASBENCH201 if space is NASBENCH201 else DARTS
    torch.manual_seed(0)
    supernet = Supernet(chosen, channels=4, layers=layers).double()
    supernet.train()
    supernet(torch.randn(8, 3, 8, 8, dtype=torch.float64))
    supernet.eval()
    genotype = PUBLISHED["ADVRUSH"] if chosen is DARTS else Cell201(
        ("nor_conv_3x3", "none", "skip_connect", "avg_pool_3x3", "nor_conv_1x1", "none"))  # fmt: skip
    weights = {kind: torch.zeros_like(alpha) for kind, alpha in supernet.alphas().items()}
    for kind, graph in genotype.cells().items():
        for edge in graph.edges:
            row = chosen.topology.edges.index((edge.source, edge.target))
            weights[kind][row, chosen.primitives.index(edge.primitive)] = 1.0
    network = InheritedNetwork(supernet, genotype)
    network.eval()
    supernet.edge_weights = lambda: weights  # type: ignore[method-assign]
    x = torch.randn(3, 3, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(network(x), supernet(x), rtol=1e-9, atol=1e-9)
    before = [buffer.clone() for buffer in supernet.buffers()]
    recalibrate(network, [torch.randn(6, 3, 8, 8, dtype=torch.float64) + 1 for _ in range(3)])
    assert not torch.allclose(network(x), supernet(x))
    assert all(torch.equal(a, b) for a, b in zip(before, supernet.buffers(), strict=True))
    with pytest.raises(GenotypeError, match="of the space"):
        InheritedNetwork(supernet, PUBLISHED["ADVRUSH"] if chosen is NASBENCH201 else all_cells()[0])


def test_a_whole_table_tells_what_searches_find(tmp_path: Path) -> None:
    table = write_table(tmp_path / "whole.csv", one_of_each())
    assert table.is_whole
    config = BenchmarkConfig(
        measure="clean", searches=("darts", "best-of-20"), seeds="0..1", search=SMOKE, network=NetworkSize(4, 3)
    )
    run = benchmark(table, config, runs_dir=tmp_path / "runs", display=False)
    result = run.result()
    methods = {each["label"]: each for each in result["methods"]}
    assert list(methods) == ["darts", "best-of-20", "random", "largest"]
    for find in methods["darts"]["finds"]:
        row = table.rows[find["row"]]
        found = Run.at(tmp_path / "runs" / find["run"]).result()["genotype"]
        assert canonical(NASBENCH201.parse(json.dumps(found))) == canonical(row.genotype)
        assert find["value"] == row.measured["clean"]
        assert find["rank"] == 1 + sum(other > find["value"] for other in result["values"])
        assert find["regret"] == pytest.approx(result["best"] - find["value"])
        assert len(find["path"]) == SMOKE.epochs and find["path"][-1] == find["percentile"]
    mean = np.mean([find["percentile"] for find in methods["darts"]["finds"]])
    assert methods["darts"]["percentile"]["mean"] == pytest.approx(mean)
    assert methods["largest"]["finds"][0]["genotype"]["cell"].count("nor_conv_3x3") == 6
    assert "scores" not in result
    searched = Run.at(tmp_path / "runs" / methods["darts"]["finds"][0]["run"])
    stamp = (searched.path / "result.json").stat().st_mtime_ns
    again = benchmark(table, replace(config, seeds="0"), runs_dir=tmp_path / "runs", display=False)
    assert again.path != run.path and (searched.path / "result.json").stat().st_mtime_ns == stamp


def test_a_sample_tells_how_the_supernets_scores_rank(tmp_path: Path) -> None:
    table = write_table(tmp_path / "few.csv", one_of_each()[::800])
    options = InheritedScores(images=16, recalibration_images=32, steps=2)
    config = BenchmarkConfig(
        measure="clean", searches=("darts",), seeds="0", search=SMOKE, network=NetworkSize(4, 3), scores=options
    )
    run = benchmark(table, config, runs_dir=tmp_path / "runs", display=False)
    (scores,) = run.result()["scores"]
    assert scores["rows"] == len(table.rows)
    assert {"validation_loss", "l_lambda", "pgd_acc", "parameters"} <= set(scores["scores"])
    tau = scores["scores"]["parameters"]["kendall"]
    assert tau["low"] <= tau["value"] <= tau["high"] and scores["scores"]["parameters"]["kendall_partial"] is None
    assert len((run.path / "rows.jsonl").read_text().splitlines()) == len(table.rows)


def test_the_command_prints_a_table_and_writes_a_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_table(tmp_path / "whole.csv", one_of_each())
    arguments = [
        "benchmark", str(tmp_path / "whole.csv"), "--measure", "pgd", "--searches", "darts,best-of-20", "--seeds",
        "0..1", "--recipe", "smoke", "--network.channels", "4", "--network.layers", "3", "--runs-dir",
        str(tmp_path / "runs"), "--quiet",
    ]  # fmt: skip
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert "largest" in printed and "best-of-20" in printed and "percentile" in printed
    (path,) = (tmp_path / "runs" / "benchmark").iterdir()
    page = (path / "report.html").read_text()
    assert "Searches judged by a table" in page and page.count("<svg") == 2
    assert Record.read(path).result is not None
    assert main(["runs", str(tmp_path / "runs")]) == 0
    assert "benchmark" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "expected one table"),
        (["none.csv", "--measure", "clean"], "cannot be read"),
        (["{table}"], "measure: got ''"),
        (["{table}", "--measure", "claen"], "did you mean 'clean'"),
        (["{table}", "--measure", "clean", "--searches", "drts"], "did you mean 'darts'"),
        (["{table}", "--measure", "clean", "--seeds", "3..1"], "seeds"),
        (["{table}", "--measure", "clean", "--seeds", "1,1"], "each seed once"),
        (["{table}", "--measure", "clean", "--searches", "advrush:warmup_epochs=9"], "warmup_epochs"),
    ],
)
def test_refusals(tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str) -> None:
    write_table(tmp_path / "t.csv", one_of_each()[::900])
    arguments = [option.format(table=tmp_path / "t.csv") for option in options]
    assert main(["benchmark", *arguments]) == 2
    assert message in " ".join(capsys.readouterr().err.split())
