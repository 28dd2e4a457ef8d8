"""One color for each architecture in every figure, told apart by every eye."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_hex, to_rgb

from advrush.models.build import DISPLAY_NAMES
from advrush.report.drawing.architectures import (
    ARCHITECTURE_COLORS,
    FURTHER_COLORS,
    PAIRS,
    architecture_colors,
    architecture_in,
    page_colors,
    styles,
    styles_by_label,
)  # fmt: skip
from advrush.report.figures import (
    Range,
    accuracy_bars,
    comparison_curves,
    curvature_figure,
    path_figure,
    surface_figure,
    sweep_curves,
    tradeoff,
    training_curves,
)
from advrush.report.identity import architecture_key, network_styles
from advrush.report.names import model_names
from advrush.report.records import Record
from report_runs import make_evaluation, make_search, make_training

VISION = {
    "normal": np.eye(3),
    "no red": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "no green": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "no blue": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}
"""Linear RGB as seen (Machado, Oliveira, Fernandes 2009, severity 1)."""

XYZ = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.072175], [0.0193339, 0.119192, 0.9503041]])


def linear(color: str) -> np.ndarray:
    value = np.array(to_rgb(color))
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def lab(color: str, seen: object) -> np.ndarray:
    xyz = XYZ @ np.clip(np.array(seen) @ linear(color), 0, 1) / np.array([0.95047, 1, 1.08883])
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("page", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("eye", VISION)
def test_any_two_colors_stay_apart_for_every_eye(page: int, eye: str) -> None:
    def nearest(colors: list[str]) -> float:
        places = [lab(color, VISION[eye]) for color in colors]
        return min(float(np.linalg.norm(a - b)) for a, b in combinations(places, 2))

    assert nearest([pair[page] for pair in PAIRS]) >= 13
    assert nearest([pair[page] for pair in list(ARCHITECTURE_COLORS.values())[:7]]) >= 19


def test_colors_stand_out_from_the_page() -> None:
    for light, dark in list(ARCHITECTURE_COLORS.values())[:7]:
        shades = [float(XYZ[1] @ linear(color)) + 0.05 for color in (light, dark, "#14171c")]
        assert 1.05 / shades[0] >= 3 and shades[1] / shades[2] >= 3


def test_every_published_architecture_has_a_color_and_any_spelling_finds_it() -> None:
    assert set(ARCHITECTURE_COLORS) == set(DISPLAY_NAMES.values())
    for short, name in DISPLAY_NAMES.items():
        assert architecture_in(short) == architecture_in(f"adversarial ({name}), drop") == name
    assert architecture_in("DARTS") == "DARTS (V2)" and architecture_in("P-DARTS") == "PDARTS"
    assert architecture_in("search, PGD 0/60") == "search, PGD 0/60"


def test_unknown_architectures_keep_their_colors_and_differ_on_a_page() -> None:
    pool = {light for light, _ in FURTHER_COLORS}
    keys = [f"genotype {k}" for k in range(len(pool))]
    assert set(architecture_colors(keys).values()) == pool
    more = architecture_colors([*keys[::-1], "AdvRush"])
    assert {key: more[key] for key in keys} == architecture_colors(keys)
    assert architecture_colors([keys[0]])[keys[0]] == architecture_colors([keys[0], "RACL"])[keys[0]]


def test_an_architecture_has_one_color_in_each_kind_of_figure_whatever_stands_beside_it() -> None:
    rows = [{"epoch": k, "loss_train": 1.0, "loss_val": 1.0, "curvature": 0.1, "clean_acc_val": 0.5,
             "robust_acc_val": 0.3, "lr": 0.1} for k in range(3)]  # fmt: skip
    triple, interval = (0.5, 0.4, 0.6), np.array([1.0, 0.5, 2.0])
    arrays = {key: np.ones(4) for key in ("lambda_max", "l_lambda")}
    arrays |= {"lambda_max_interval": interval, "l_lambda_interval": interval}
    point = {key: {"mean": 1.0, "low": 0.5, "high": 2.0} for key in ("loss", "adversarial_loss", "lambda_max")}
    steps = [{"steps": 1, "robust_acc": 0.5, "interval": [0.4, 0.6]}]
    wanted = ARCHITECTURE_COLORS["PDARTS"][0]
    for beside in ([], ["AdvRush"], ["DenseNet-121", "RACL", "my own"]):
        names = [*beside, "PDARTS"]
        drawn = styles_by_label(names)
        plane = surface_figure(np.eye(3), np.array([-1.0, 0, 1]), Range(1, 0, 1), around="input", direction="sign",
                               name="PDARTS", color=drawn["PDARTS"].color)  # fmt: skip
        (surface,) = (text for text in plane.texts if text.get_text() == "PDARTS")
        path = path_figure([{"t": t, **point} for t in (0.0, 1.0)], color=drawn["PDARTS"].color)
        found = {
            "bars": to_hex(accuracy_bars({n: {"clean": triple} for n in names}).axes[0].patches[-1].get_facecolor()),
            "scatter": _line(tradeoff(dict.fromkeys(names, (triple, triple)), attack="PGD"), -1),
            "sweep": _line(sweep_curves(dict.fromkeys(names, steps), "steps"), -1),
            "training": _line(training_curves(dict.fromkeys(names, rows)), len(beside)),
            "searches": _line(comparison_curves(dict.fromkeys(names, rows)), len(beside)),
            "curvature": _line(curvature_figure({n: (drawn[n], arrays) for n in names}), -3),
            "landscape": to_hex(surface.get_color()),
            "path": to_hex(path.axes[2].lines[1].get_color()),
        }
        assert found == dict.fromkeys(found, wanted)


def _line(figure, index: int) -> str:  # type: ignore[no-untyped-def]
    return to_hex(figure.axes[0].lines[index].get_color())


def test_runs_of_one_architecture_differ_by_mark_and_hatch() -> None:
    drawn = styles({"standard": "AdvRush", "adversarial": "AdvRush", "other": "RACL"})
    assert drawn["standard"].color == drawn["adversarial"].color != drawn["other"].color
    assert drawn["standard"][1:] != drawn["adversarial"][1:]
    assert drawn["other"][1:] == drawn["standard"][1:]


def test_a_mark_tells_the_objective_in_whatever_order_the_runs_come(tmp_path: Path) -> None:
    page = []
    for objective, arch in (("standard", "racl"), ("pgd", "advrush"), ("standard", "advrush"), ("pgd", "racl")):
        record = Record.read(make_training(tmp_path, name=f"{objective}-{arch}", arch=arch))
        page.append(replace(record, config={**record.config, "objective": objective}))
    names = model_names(page, page)
    drawn = network_styles(page, names, page)
    marks = {str(run.config["objective"]): drawn[names[run.path]][1:] for run in page}
    assert marks["standard"] != marks["pgd"]
    assert all(drawn[names[run.path]][1:] == marks[str(run.config["objective"])] for run in page)
    alone = network_styles(page[:1], names, page)
    assert alone[names[page[0].path]] == drawn[names[page[0].path]], "the same in every figure of a page"


def test_a_network_goes_by_its_architecture_from_search_to_evaluation(tmp_path: Path) -> None:
    search = Record.read(make_search(tmp_path))
    found = search.genotype()
    assert found is not None
    training = Record.read(make_training(tmp_path, arch=found.to_json()))
    other = Record.read(make_training(tmp_path, name="rival", arch="pdarts"))
    test = Record.read(make_evaluation(tmp_path, model=training.label, correct={"clean": 400}))
    page = [search, training, other, test]
    assert architecture_key(search, page) == architecture_key(training, page) == architecture_key(test, page)
    names = model_names(page, page)
    drawn = network_styles(page, names, page)
    assert len({drawn[names[each.path]].color for each in (search, training, test)}) == 1
    assert drawn[names[other.path]].color == ARCHITECTURE_COLORS["PDARTS"][0]
    assert network_styles([test], names, page)[names[test.path]].color == drawn[names[test.path]].color


def test_pages_have_the_dark_twins() -> None:
    assert all(f"--arch-{index}: {dark};" in page_colors() for index, (_, dark) in enumerate(PAIRS))
