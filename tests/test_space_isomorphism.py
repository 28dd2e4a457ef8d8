from __future__ import annotations

import csv
import math
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import pytest

from advrush.space import DARTS, NASBENCH201, PUBLISHED
from advrush.space.isomorphism import canonical, function
from advrush.space.nasbench201 import PRIMITIVES, TOPOLOGY, Cell201, all_cells, parse

TABLE = Path(__file__).resolve().parents[2] / "shared" / "data" / "nb201" / "jung2023_standard_trained.csv"
ADVRUSH = PUBLISHED["ADVRUSH"]
LETTERS = dict(zip("ns13a", PRIMITIVES, strict=True))


def cell(letters: str) -> Cell201:
    """Return the cell of the edges 0-1, 0-2, 1-2, 0-3, 1-3, 2-3."""
    return Cell201(tuple(LETTERS[letter] for letter in letters))


def output(cell: Cell201, x: float) -> float:
    """Return what the cell makes of a number when each primitive is a nonlinear function with f(0) = 0."""
    maps = {
        "none": lambda v: 0.0,
        "skip_connect": lambda v: v,
        "nor_conv_1x1": lambda v: math.sin(1.3 * v),
        "nor_conv_3x3": lambda v: 0.7 * v + 0.31 * v * v,
        "avg_pool_3x3": lambda v: math.tanh(0.9 * v),
    }
    nodes = [x, 0.0, 0.0, 0.0]
    for (source, target), primitive in zip(TOPOLOGY.edges, cell.primitives, strict=True):
        nodes[target] += maps[primitive](nodes[source])
    return nodes[3]


def test_the_space_has_6466_classes_of_which_4930_differ_as_functions() -> None:
    cells = all_cells()
    assert len(set(cells)) == len(cells) == 15_625
    classes, values, texts = defaultdict(set), defaultdict(set), defaultdict(set)
    for each in cells:
        value = round(output(each, 0.37), 10)
        classes[canonical(each)].add(value)
        values[value].add(function(each))
        texts[function(each)].add(value)
    assert len(classes) == NASBENCH201.distinct == 6_466
    assert all(len(members) == 1 for members in classes.values())  # isomorphic cells compute the same
    assert len(texts) == len(values) == 4_930  # and `function` joins exactly those that do
    assert all(len(members) == 1 for members in [*values.values(), *texts.values()])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("n3111n", "n3313n"),  # what leaves a node of zeros does not matter
        ("snn1nn", "snnn1n"),  # a skip is its source
    ],
)
def test_isomorphic_cells_share_a_form(one: str, other: str) -> None:
    assert canonical(cell(one)) == canonical(cell(other))


def test_nodes_that_change_places_compute_the_same_function() -> None:
    assert function(cell("13nn3a")) == function(cell("31nna3"))


@pytest.mark.parametrize(("one", "other"), [("333333", "333331"), ("snnnsn", "snnnan"), ("3nnnsn", "1nnnsn")])
def test_different_cells_have_different_forms(one: str, other: str) -> None:
    assert canonical(cell(one)) != canonical(cell(other))


def test_spaces_tell_the_form_of_their_genotypes() -> None:
    assert NASBENCH201.canonical(cell("snn1nn")) == NASBENCH201.canonical(cell("snnn1n"))
    turned = replace(ADVRUSH, normal=(ADVRUSH.normal[1], ADVRUSH.normal[0], *ADVRUSH.normal[2:]))
    assert turned != ADVRUSH
    assert DARTS.canonical(turned) == DARTS.canonical(ADVRUSH)  # the edges of a node stand in any order
    moved = replace(
        ADVRUSH, normal=(*ADVRUSH.normal[:2], *ADVRUSH.normal[4:6], *ADVRUSH.normal[:2], *ADVRUSH.normal[6:])
    )
    assert DARTS.canonical(moved) != DARTS.canonical(ADVRUSH)


@pytest.mark.skipif(not TABLE.is_file(), reason=f"needs the table {TABLE.name} in ../shared/data/nb201")
def test_the_rows_of_a_published_table_are_one_of_each_class() -> None:
    with TABLE.open(newline="") as file:
        rows = [parse(row["arch"]) for row in csv.DictReader(file)]
    assert len(rows) == len({canonical(row) for row in rows}) == 6_466
