"""Figures, heat maps and pictures."""

from __future__ import annotations

import re
from base64 import b64decode
from io import BytesIO
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from advrush.report.drawing.architectures import PAIRS
from advrush.report.drawing.heatmap import alpha_heatmap
from advrush.report.drawing.palette import SERIES, primitive_label
from advrush.report.drawing.plot import to_svg
from advrush.report.drawing.svg import subscripts
from advrush.report.figures import (
    accuracy_bars,
    architecture_curves,
    attack_label,
    comparison_curves,
    curvature_curves,
    search_curves,
    switch_epoch,
    training_curves,
)
from advrush.report.pictures import amplification, examples, png_uri
from advrush.report.records import Record, softmax
from advrush.report.sections.comparison import told_apart
from advrush.space import DARTS

SEARCH = [
    {
        "epoch": epoch,
        "phase": "warmup" if epoch < 3 else "objective",
        "loss_train": 2.0 - 0.1 * epoch,
        "loss_val": 2.1 - 0.1 * epoch,
        "curvature": None if epoch == 0 else 0.5**epoch,
        "alpha_entropy": {"normal": 2.0 - 0.1 * epoch, "reduce": 2.0},
        "skips": {"normal": 1, "reduce": epoch % 3},
    }
    for epoch in range(6)
]
TRAINING = [
    {"epoch": e, "loss_train": 2.0 - e, "clean_acc_val": 0.5 + 0.1 * e, "robust_acc_val": 0.4 if e else None}
    for e in range(3)
]
BARS = {"ours": {"clean": (0.9, 0.85, 0.94), "pgd20": (0.5, 0.4, 0.6)}, "other": {"clean": (0.8, 0.7, 0.9)}}


def test_search_curves_plot_the_rows_and_mark_the_switch() -> None:
    left, right = search_curves(SEARCH).axes
    train, validation, switch = left.lines
    assert train.get_xydata().tolist() == [[row["epoch"] + 1, row["loss_train"]] for row in SEARCH]
    assert validation.get_ydata().tolist() == [row["loss_val"] for row in SEARCH]
    assert list(switch.get_xdata()) == [3.5, 3.5]
    assert right.get_yscale() == "log"
    assert right.lines[0].get_xydata().tolist() == [[row["epoch"] + 1, row["curvature"]] for row in SEARCH[1:]]


def test_the_switch_is_marked_only_where_there_is_one() -> None:
    assert switch_epoch(SEARCH) == 4
    assert switch_epoch(SEARCH[:3]) is None
    assert switch_epoch(SEARCH[3:]) is None
    assert len(search_curves(SEARCH[:3]).axes[0].lines) == 2


def test_curves_of_several_searches_share_one_logarithmic_panel() -> None:
    (axis,) = curvature_curves({"one": SEARCH, "two": SEARCH[1:4]}).axes
    assert [len(line.get_xdata()) for line in axis.lines] == [5, 3, 2]
    assert axis.get_yscale() == "log"
    zeros = [{**row, "curvature": 0.0} for row in SEARCH]
    assert curvature_curves({"zero": zeros}).axes[0].get_yscale() == "linear"


def test_searches_are_compared_by_validation_loss_and_curvature() -> None:
    left, right = comparison_curves({"one": SEARCH, "two": SEARCH[1:4]}).axes
    losses = [line.get_xydata().tolist() for line in left.lines[:2]]
    assert losses[0] == [[row["epoch"] + 1, row["loss_val"]] for row in SEARCH]
    assert losses[1] == losses[0][1:4]
    assert (left.get_yscale(), right.get_yscale()) == ("linear", "log")
    assert [line.get_color() for line in left.lines[:2]] == [line.get_color() for line in right.lines[:2]]


def test_searches_of_several_gammas_are_named_by_them() -> None:
    def search(name: str, objective: str, gamma: float, seed: int = 0) -> Record:
        config = {"name": name, "objective": objective, "curvature": {"gamma": gamma}, "seed": seed}
        path = Path(f"runs/search/{name}-{gamma:g}{seed}")
        return Record(path, "search", name, "0a1b", config, {}, (), None)

    names = told_apart([search("a", "advrush", 0.01), search("b", "advrush", 0.1), search("c", "darts", 0.01)])
    assert list(names.values()) == ["a: advrush, γ = 0.01", "b: advrush, γ = 0.1", "c: darts"]
    assert list(told_apart([search("a", "advrush", 0.01), search("b", "advrush", 0.01)]).values()) == ["a", "b"]


def test_training_curves_are_percent_and_leave_unmeasured_epochs_out() -> None:
    _, right = training_curves({"a": TRAINING}).axes
    clean, robust = right.lines[:2]
    assert clean.get_xydata().tolist() == [[1, 50.0], [2, 60.0], [3, 70.0]]
    assert robust.get_xydata().tolist() == [[2, 40.0], [3, 40.0]]


def test_bars_have_the_height_and_the_whiskers_of_the_accuracies() -> None:
    (axis,) = accuracy_bars(BARS).axes
    assert [patch.get_height() for patch in axis.patches] == pytest.approx([90, 50, 80])
    spans = [segment[:, 1].tolist() for lines in axis.collections for segment in lines.get_segments()]
    assert np.sort(np.ravel(spans)) == pytest.approx([40, 60, 70, 85, 90, 94])


@pytest.mark.parametrize(
    "figure",
    [
        lambda: search_curves(SEARCH),
        lambda: curvature_curves({"a_b <c>": SEARCH}),
        lambda: architecture_curves(SEARCH),
        lambda: training_curves({"one": TRAINING}),
        lambda: accuracy_bars(BARS),
    ],
)
def test_svg_is_well_formed_reproducible_and_takes_the_colors_of_the_page(figure) -> None:  # type: ignore[no-untyped-def]
    svg = to_svg(figure(), title="A <title>")
    root = ElementTree.fromstring(svg)
    assert root.get("aria-label") == "A <title>"
    assert svg == to_svg(figure(), title="A <title>")
    assert "var(--ink, #" in svg
    assert re.search(r"var\(--(series|arch)-\d+, #", svg)
    bare = re.sub(r"var\(--[\w-]+, #[0-9a-f]{6}\)", "", svg)
    assert not [color for color in (*SERIES, *(light for light, _ in PAIRS)) if color in bare]
    assert "DejaVu" not in svg
    ids = {element.get("id") for element in root.iter() if element.get("id")}
    assert ids <= set(re.findall(r"#([\w-]+)", svg))


def test_ids_of_two_figures_on_a_page_do_not_clash() -> None:
    one, two = (re.findall(r' id="([^"]+)"', to_svg(search_curves(SEARCH), title=title)) for title in ("one", "two"))
    assert not set(one) & set(two)


def test_a_heat_map_shows_the_softmax_and_outlines_what_is_kept() -> None:
    alphas = np.random.default_rng(0).normal(size=(14, 8)).astype(np.float32)
    weights = softmax(alphas.astype(np.float64))
    graph = DARTS.discretize({"normal": weights, "reduce": weights}).cells()["normal"]
    root = ElementTree.fromstring(alpha_heatmap(DARTS, alphas, kind="normal", graph=graph))
    svg = "{http://www.w3.org/2000/svg}"
    squares = [rect for rect in root.iter(f"{svg}rect") if rect.get("class") == "weight"]
    assert len(squares) == weights.size
    assert sum(rect.get("stroke") is not None for rect in squares) == len(graph.edges)
    words = [text.text for text in root.iter(f"{svg}text")]
    assert [word for word in words if word and word.startswith(".")] == [f"{w:.3f}"[1:] for w in weights.ravel()]
    assert {primitive_label(primitive) for primitive in DARTS.primitives} <= set(words)
    opacity = np.array([float(rect.get("fill-opacity", "nan")) for rect in squares])
    assert (np.diff(opacity[np.argsort(weights.ravel())]) >= 0).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_hold_the_pixels(channels: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, size=(channels, 5, 7)) / 255
    data = b64decode(png_uri(image).removeprefix("data:image/png;base64,"))
    pixels = np.asarray(Image.open(BytesIO(data)), dtype=float).reshape(5, 7, channels)
    assert np.array_equal(pixels.transpose(2, 0, 1), np.rint(image * 255))


def test_examples_name_classes_and_tell_who_was_fooled() -> None:
    x = np.full((2, 1, 4, 4), 0.5, np.float32)
    x_adv = x.copy()
    x_adv[0, 0, 0, 0] += 0.031
    y = np.array([0, 1])
    tensors = {"x": x, "x_adv": x_adv, "y": y, "pred": y, "pred_adv": np.array([1, 1])}
    first, second = examples(tensors, ["cat", "dog"])
    assert first[3:] == ("cat", "cat", "dog", True)
    assert second[3:] == ("dog", "dog", "dog", False)
    assert amplification(tensors) == pytest.approx(0.5 / 0.031)
    assert amplification({"x": x, "x_adv": x}) == 1
    assert examples(tensors)[0].label == "0"
    data = b64decode(first.difference.removeprefix("data:image/png;base64,"))
    pixels = np.asarray(Image.open(BytesIO(data)))
    assert pixels[0, 0] == 255
    assert set(pixels.ravel()[1:].tolist()) == {128}


def test_attacks_have_names_for_people() -> None:
    names = {"fgsm": "FGSM", "pgd20": "PGD-20", "apgd_ce": "APGD-CE", "autoattack": "AutoAttack", "clean": "clean"}
    names |= {
        "pgd20x5": "PGD-20 ×5", "pgd20_to_next": "PGD-20 to next", "fgsm_to_3": "FGSM to class 3", "mine": "MINE",
        "apgd_ce_to_least_likely": "APGD-CE to least likely", "pgd_pma20_estimate": "PGD-PMA-20 (estimate)",
        "cw_l2": "C&W (L2)", "pgd_dlr20": "PGD-DLR-20",
    }  # fmt: skip
    assert {name: attack_label(name) for name in names} == names


def test_symbols_have_subscripts_and_names_have_none() -> None:
    assert subscripts("train/darts_v2 & a-b") == "train/darts_v2 &amp; a-b"
    low = '<tspan dy="0.28em" font-size="78%">{}</tspan>'
    assert subscripts("darts_v2: L_val, x") == f'darts_v2: L{low.format("val")}<tspan dy="-0.22em">, x</tspan>'
    assert subscripts("c_k-2") == f"c{low.format('k-2')}"
