"""Predictors judged by a table: their definitions, correlations, resumption, and the command."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import kendalltau, spearmanr
from torch import nn
from torch.nn.functional import cross_entropy

from advrush.analysis.intervals import spearman
from advrush.cli import main
from advrush.curvature import measure_curvature
from advrush.data import DataConfig
from advrush.errors import ConfigError, DataError
from advrush.models.network import Network
from advrush.run import Run
from advrush.searching import SearchConfig, search
from advrush.space.isomorphism import canonical
from advrush.space.nasbench201 import Cell201, all_cells
from advrush.tabular import NetworkSize, PredictorsConfig, Table, judge_predictors, rank_correlations, read_table
from advrush.tabular.network_size import parameters_of_rows
from advrush.tabular.predictors import PREDICTORS, Probe, convolutions
from advrush.tabular.rank_correlation import kendall
from advrush.training import TrainConfig

TINY = Path(__file__).resolve().parents[2] / "shared" / "data" / "tiny_robustbench" / "open.csv"
CELL = Cell201(("nor_conv_3x3", "skip_connect", "nor_conv_1x1", "avg_pool_3x3", "none", "nor_conv_3x3"))
NOTHING = Cell201(("none",) * 6)
DIGITS = DataConfig("digits", train_examples=200)


def probe(cell: Cell201 = CELL, seed: int = 0, images: int = 6) -> Probe:
    torch.manual_seed(seed)
    network = Network(cell, 4, 3, num_classes=5, image_size=8).eval()
    return Probe(cell, network, torch.randn(images, 3, 8, 8), torch.arange(images) % 5)


def value(name: str, of: Probe) -> float:
    return float(PREDICTORS[name].of(of))


def dense_hessians(of: Probe) -> list[torch.Tensor]:
    network = of.network.double()
    found = []
    for x, y in zip(of.x.double(), of.y, strict=True):

        def loss(flat: torch.Tensor, y: torch.Tensor = y) -> torch.Tensor:
            return cross_entropy(network(flat.view(1, 3, 8, 8)), y[None])

        found.append(torch.autograd.functional.hessian(loss, x.flatten()))
    return found


def test_curvature_scores_are_those_of_the_dense_hessian() -> None:
    one = probe(images=3)
    frobenius, largest = value("frobenius", one), value("lambda_max", one)
    dense = dense_hessians(one)
    assert frobenius == pytest.approx(float(torch.stack([h.norm() for h in dense]).mean()), rel=1e-4)
    top = [float(torch.linalg.eigvalsh(h)[-1]) for h in dense]
    assert largest == pytest.approx(float(np.mean(top)), rel=1e-4)


def test_gradient_and_curvature_scores() -> None:
    one = probe()
    norms = []
    for x, y in zip(one.x, one.y, strict=True):
        x = x[None].requires_grad_(True)
        norms.append(float(torch.autograd.grad(cross_entropy(one.network(x), y[None]), x)[0].norm()))
    assert value("gradient_norm", one) == pytest.approx(float(np.mean(norms)), rel=1e-4)
    expected = float(measure_curvature(one.network, one.x, one.y, h=1.5))
    assert value("l_lambda", one) == pytest.approx(expected, rel=1e-5)


def test_synflow_of_a_linear_network_is_its_sum_of_absolute_paths() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 3, bias=False), nn.Linear(3, 2, bias=False))
    one = Probe(CELL, network, torch.zeros(1, 1, 2, 2), torch.zeros(1, dtype=torch.long))
    first, second = (layer.weight.double() for layer in (network[1], network[2]))  # type: ignore[union-attr]
    paths = float((second.abs() @ first.abs()).sum().detach())
    before = [p.clone() for p in network.parameters()]
    assert value("synflow", one) == pytest.approx(np.log(2 * paths))  # each path counts once for each layer
    assert all(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))


def test_ntk_condition_of_a_linear_network() -> None:
    x = torch.tensor([[[[3.0, 0.0]]], [[[0.0, 1.0]]]])
    network = nn.Sequential(nn.Flatten(), nn.Linear(2, 1, bias=False))
    one = Probe(CELL, network, x, torch.zeros(2, dtype=torch.long))
    assert value("ntk_condition", one) == pytest.approx(np.log10(9.0), rel=1e-5)  # the kernel is diag(9, 1)


def test_agreement_is_one_without_a_perturbation_and_less_with_one() -> None:
    one = probe()
    assert value("agreement", replace_eps(one, 0.0)) == pytest.approx(1.0, abs=1e-5)
    assert value("agreement", replace_eps(one, 3.0)) < 0.99


def replace_eps(of: Probe, eps: float) -> Probe:
    return Probe(of.genotype, of.network, of.x, of.y, of.h, eps)


def test_a_network_that_ignores_the_image_has_no_curvature() -> None:
    one = probe(NOTHING)
    assert [value(name, one) for name in ("l_lambda", "frobenius", "lambda_max", "gradient_norm")] == [0, 0, 0, 0]
    assert all(np.isfinite(value(name, one)) for name in PREDICTORS)


def test_counts() -> None:
    one = probe()
    assert value("parameters", one) == sum(p.numel() for p in one.network.parameters())
    assert convolutions(CELL) == 3 and value("convolutions_first", one) == 3


def test_correlations_are_those_of_scipy_and_partial_ones_those_of_the_formula() -> None:
    rng = np.random.default_rng(1)
    size = rng.integers(0, 9, 60).astype(float)
    truth = size + rng.normal(0, 2, 60)
    scores = {"size": size, "alias": size + rng.normal(0, 0.1, 60), "own": truth + rng.normal(0, 3, 60),
              "flat": np.ones(60)}  # fmt: skip
    found = rank_correlations(scores, truth, given="size", reference="size", resamples=200)
    for name in ("size", "alias", "own"):
        tau = found[name]["kendall"]
        assert tau is not None and tau["value"] == pytest.approx(kendalltau(scores[name], truth).statistic)
        assert tau["low"] < tau["value"] < tau["high"]
        rho = found[name]["spearman"]
        assert rho is not None and rho["value"] == pytest.approx(spearmanr(scores[name], truth).statistic)
    assert found["size"]["kendall_partial"] is None and found["flat"]["kendall"] is None
    a, b, c = kendall(scores["own"], truth), kendall(scores["own"], size), kendall(size, truth)
    part = found["own"]["kendall_partial"]
    assert part is not None and part["value"] == pytest.approx((a - b * c) / np.sqrt((1 - b * b) * (1 - c * c)))
    alias, own = found["alias"]["spearman_partial"], found["own"]["spearman_partial"]
    assert alias is not None and own is not None
    assert abs(alias["value"]) < 0.25 < own["value"]  # what is only size has nothing left, given size
    gain = found["own"]["kendall_gain"]
    assert gain is not None and gain["value"] == pytest.approx(a - c)
    assert spearman(size, -size) == pytest.approx(-1)


def write_table(path: Path, count: int) -> Table:
    cells = list({canonical(cell): cell for cell in all_cells()[::13]}.values())[:: 1100 // count][:count]
    rows = [f"{cell.to_text()},{convolutions(cell) + i * 1e-4:.6f}" for i, cell in enumerate(cells)]
    path.write_text("\n".join(["arch,robust", *rows]) + "\n")
    return read_table(path)


@pytest.mark.parametrize("state", ["init", "trained", "inherited"])
def test_every_state_is_measured_row_by_row_and_resumed(tmp_path: Path, state: str) -> None:
    table = write_table(tmp_path / "t.csv", 4)
    training = TrainConfig(objective="standard", epochs=1, batch_size=50, validation_examples=20, eval_every=1)
    config = PredictorsConfig(
        measure="robust", predictors=("gradient_norm",), state=state,  # type: ignore[arg-type]
        images=4, network=NetworkSize(4, 3), data=DIGITS, train=training,
    )  # fmt: skip
    inherit = None
    if state == "inherited":
        options = SearchConfig(space="nasbench201", channels=4, layers=3, objective="darts", epochs=1,
                               warmup_epochs=0, data=DIGITS)  # fmt: skip
        inherit = search(options, runs_dir=tmp_path / "runs", display=False)
    run = judge_predictors(table, config, runs_dir=tmp_path / "runs", inherit=inherit, display=False)
    result = run.result()
    assert [each["name"] for each in result["predictors"]] == [
        "gradient_norm", "parameters", "macs", "convolutions", "convolutions_first"]  # fmt: skip
    first = result["scores"]["gradient_norm"]
    assert len(set(first)) > 2
    rows = [json.loads(line) for line in (run.path / "rows.jsonl").read_text().splitlines()]
    (run.path / "result.json").unlink()
    kept = [json.dumps(row | {"gradient_norm": row["gradient_norm"] + 1}) for row in rows[:2]]
    (run.path / "rows.jsonl").write_text("\n".join(kept) + '\n{"subject": "in')  # killed in its third row
    again = judge_predictors(table, config, runs_dir=tmp_path / "runs", inherit=inherit, display=False).result()
    assert again["scores"]["gradient_norm"] == [first[0] + 1, first[1] + 1, *first[2:]]  # the first two: as kept
    assert again["reference"] in ("parameters", "macs", "convolutions", "convolutions_first")


def test_several_processes_measure_what_one_does(tmp_path: Path) -> None:
    table = write_table(tmp_path / "t.csv", 4)
    config = PredictorsConfig(measure="robust", predictors=("l_lambda",), images=2, network=NetworkSize(2, 3),
                              data=DIGITS)  # fmt: skip
    one = judge_predictors(table, config, runs_dir=tmp_path / "one", display=False).result()
    two = judge_predictors(table, config, runs_dir=tmp_path / "two", jobs=2, display=False).result()
    assert one["scores"]["l_lambda"] == pytest.approx(two["scores"]["l_lambda"], rel=1e-4)


def test_the_verdict_is_about_counting(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_table(tmp_path / "t.csv", 6)
    arguments = [
        "benchmark", "predictors", str(tmp_path / "t.csv"), "--measure", "robust", "--predictors",
        "gradient_norm,synflow", "--images", "2", "--network.channels", "2", "--network.layers", "3",
        "--data.dataset", "digits", "--runs-dir", str(tmp_path / "runs"), "--quiet",
    ]  # fmt: skip
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert "Kendall" in printed and "verdict" in printed
    (path,) = (tmp_path / "runs" / "benchmark").iterdir()
    result = Run.at(path).result()
    verdicts = {each["name"]: each["verdict"] for each in result["predictors"]}
    assert result["reference"] == "convolutions" and verdicts["convolutions"] == "the best of counting"
    assert verdicts["gradient_norm"] != "beats counting"  # the truth of this table is the count itself
    page = (path / "report.html").read_text()
    assert "Predictors judged by a table" in page and page.count("<svg") == 1


def test_refusals(tmp_path: Path) -> None:
    table = write_table(tmp_path / "t.csv", 4)
    config = PredictorsConfig(measure="robust", data=DIGITS)
    with pytest.raises(ConfigError, match="did you mean 'l_lambda'"):
        judge_predictors(table, replace(config, predictors=("l_lamda",)), runs_dir=tmp_path)
    with pytest.raises(DataError, match="did you mean 'robust'"):
        judge_predictors(table, replace(config, measure="robus"), runs_dir=tmp_path)
    with pytest.raises(ConfigError, match="inherit"):
        judge_predictors(table, replace(config, state="inherited"), runs_dir=tmp_path)
    with pytest.raises(ConfigError, match="jobs"):
        judge_predictors(table, config, runs_dir=tmp_path, jobs=0)


@pytest.mark.skipif(not TINY.is_file(), reason="needs ../shared/data/tiny_robustbench/open.csv")
def test_counting_ranks_tiny_robustbench() -> None:
    table = read_table(TINY)
    truth = table.values("robust_acc")
    convs = np.array([convolutions(row.genotype, "normal") for row in table.rows], dtype=float)
    sizes = np.array(parameters_of_rows(table.rows, 16, 8), dtype=float)
    assert kendall(convs, truth) == pytest.approx(0.385, abs=0.002)
    assert kendall(sizes, truth) == pytest.approx(0.414, abs=0.002)
