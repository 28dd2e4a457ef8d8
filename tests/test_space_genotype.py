from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advrush.errors import GenotypeError
from advrush.space import PRIMITIVES, PUBLISHED, CellGraph, Edge, Genotype, GraphEdge, parse
from advrush.space.genotype import EXTRA_PRIMITIVES, from_dict

NORMAL = [["sep_conv_3x3", 1], ["sep_conv_3x3", 0], ["skip_connect", 0], ["sep_conv_5x5", 2]]
GOOD = {"normal": NORMAL, "normal_concat": [2, 3], "reduce": NORMAL, "reduce_concat": [3]}


@st.composite
def cells(draw: st.DrawFn) -> tuple[list[Edge], list[int]]:
    nodes = draw(st.integers(1, 6))
    primitive = st.sampled_from(PRIMITIVES + EXTRA_PRIMITIVES)
    edges = [Edge(draw(primitive), draw(st.integers(0, 1 + k // 2))) for k in range(2 * nodes)]
    concat = draw(st.lists(st.integers(2, 1 + nodes), min_size=1, unique=True))
    return edges, concat


@st.composite
def genotypes(draw: st.DrawFn) -> Genotype:
    (normal, normal_concat), (reduce, reduce_concat) = draw(cells()), draw(cells())
    return Genotype(tuple(normal), tuple(reduce), tuple(normal_concat), tuple(reduce_concat))


@given(genotypes())
def test_json_and_darts_text_give_the_genotype_back(genotype: Genotype) -> None:
    assert parse(genotype.to_json()) == genotype
    assert parse(genotype.to_darts()) == genotype
    assert from_dict(genotype.to_dict()) == genotype
    assert hash(parse(genotype.to_json())) == hash(genotype)


@given(genotypes())
def test_cells_hold_every_edge_with_its_target(genotype: Genotype) -> None:
    graph = genotype.cells()["normal"]
    assert [(edge.primitive, edge.source) for edge in graph.edges] == list(genotype.normal)
    assert [edge.target for edge in graph.edges] == [2 + k // 2 for k in range(2 * graph.nodes)]
    assert all(edge.source < edge.target for edge in graph.edges)
    assert graph.outputs == genotype.normal_concat


@pytest.mark.parametrize(("skips", "collapsed"), [(0, False), (2, False), (3, True), (4, True)])
def test_a_cell_of_more_than_half_skips_has_collapsed(skips: int, collapsed: bool) -> None:
    names = ["skip_connect"] * skips + ["sep_conv_3x3"] * (4 - skips)
    graph = CellGraph(2, 2, tuple(GraphEdge(0, 2, name) for name in names), (2, 3))
    assert (graph.skips, graph.collapsed) == (skips, collapsed)


def test_text_as_researchers_paste_it() -> None:
    text = """ADVRUSH = Genotype(
        normal=[('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('sep_conv_5x5', 0), ('sep_conv_3x3', 1),
                ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('skip_connect', 0), ('sep_conv_3x3', 1)],
        normal_concat=range(2, 6),
        reduce=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('skip_connect', 0), ('dil_conv_3x3', 2),
                ('skip_connect', 0), ('avg_pool_3x3', 1), ('skip_connect', 0), ('skip_connect', 2)],
        reduce_concat=list(range(2, 6)))"""
    assert parse(text) == PUBLISHED["ADVRUSH"]
    assert parse("07/01 03:04:05 PM genotype = " + PUBLISHED["RACL"].to_darts() + "\n") == PUBLISHED["RACL"]


def test_positional_arguments_follow_the_order_of_the_named_tuple() -> None:
    pairs = [tuple(edge) for edge in NORMAL]
    assert parse(f"Genotype({pairs}, [2, 3], {pairs}, [3])") == from_dict(GOOD)


def test_published_cells() -> None:
    assert list(PUBLISHED) == ["ADVRUSH", "DARTS_V1", "DARTS_V2", "PDARTS", "RACL", "NASNet", "AmoebaNet"]
    assert PUBLISHED["NASNet"].normal_concat == (2, 3, 4, 5, 6)
    assert PUBLISHED["AmoebaNet"].reduce_concat == (3, 4, 6)
    assert PUBLISHED["AmoebaNet"].cells()["reduce"].edges[9] == GraphEdge(5, 6, "sep_conv_3x3")


BAD = [
    (
        {"normal": [["sep_con_3x3", 1], *NORMAL[1:]]},
        r"normal edge 0: unknown primitive 'sep_con_3x3' \(did you ",
    ),
    ({"normal": [[["sep_conv_3x3"], 1], *NORMAL[1:]]}, "normal edge 0: unknown primitive"),
    ({"reduce": [*NORMAL[:3], ["none", 3]]}, "reduce edge 3: reads 3; node 3 may read states 0 to 2 only"),
    ({"reduce": [*NORMAL[:3], ["none", -1]]}, "reduce edge 3: reads -1"),
    ({"reduce": [*NORMAL[:3], ["none", True]]}, "reduce edge 3: reads True"),
    ({"reduce": [*NORMAL[:3], ["none", "1"]]}, "reduce edge 3: reads '1'"),
    ({"normal": NORMAL[:3]}, "normal: got 3 edges; expected two for each node"),
    ({"normal": []}, "normal: got 0 edges"),
    ({"normal": "abcd"}, "normal: got 'abcd'; expected a list"),
    ({"normal": [*NORMAL[:3], ["none", 0, 1]]}, r"normal edge 3: got \['none', 0, 1\]"),
    ({"normal_concat": [2, 4]}, "normal_concat: got 4; the cell's 2 nodes are 2 to 3"),
    ({"normal_concat": [1, 2]}, "normal_concat: got 1"),
    ({"reduce_concat": [2, 2]}, "reduce_concat: .* each once"),
    ({"reduce_concat": []}, "reduce_concat: .* at least one node"),
    ({"reduce_concat": 3}, "reduce_concat: got 3; expected a list"),
    ({"reduced": []}, r"unknown field 'reduced' \(did you mean 'reduce'\?\)"),
]


@pytest.mark.parametrize(("change", "message"), BAD)
def test_a_malformed_genotype_is_refused_with_its_place(change: dict[str, object], message: str) -> None:
    with pytest.raises(GenotypeError, match=message):
        parse(json.dumps({**GOOD, **change}))


TEXTS = [
    ("", "neither JSON nor"),
    ("[1, 2]", "got list; expected an object"),
    ('{"normal": []}', "missing normal_concat, reduce, reduce_concat"),
    ("Genotype(normal=[", "not a Genotype"),
    ("Genotype(normal=open('x'))", "normal: not a list of literals"),
    ("Genotype(normal=[('none', __import__('os').getpid())])", "normal: not a list of literals"),
    ("Genotype(normal=range(10**9))", "normal: not a list of literals"),
    ("Genotype(normal=range(1000000000))", "normal: range of 1000000000 values"),
    ("Genotype(normal=range(0, 4, 0))", "normal: range"),
    ("Genotype(**{})", "given twice or unpacked"),
    ("Genotype([], normal=[])", "field normal is given twice"),
    ("Genotype([], [], [], [], [])", "expected Genotype"),
    ("Genotype(" + "(" * 5000 + ")" * 5000 + ")", "not a Genotype"),
    ("Genotype(" + " " * 200_000 + ")", "longer than"),
]


@pytest.mark.parametrize(("text", "message"), TEXTS)
def test_a_text_that_is_no_genotype_is_refused_and_never_evaluated(text: str, message: str) -> None:
    with pytest.raises(GenotypeError, match=message):
        parse(text)


def test_importing_genotypes_loads_no_torch() -> None:
    code = "import sys, advrush.space.genotype; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
