from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advrush.errors import ConfigError, GenotypeError
from advrush.space import DARTS, PRIMITIVES, PUBLISHED, SPACES, CellPlan, Genotype


def weights_that_keep(genotype: Genotype, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Softmax weights, heavy on `none` everywhere, whose strongest edges are those of `genotype`."""
    weights = {}
    for kind, graph in genotype.cells().items():
        array = rng.uniform(0.0, 0.01, (14, 8))
        for order, edge in enumerate(graph.edges):
            row = DARTS.topology.edges.index((edge.source, edge.target))
            array[row, PRIMITIVES.index(edge.primitive)] = 0.5 - 0.01 * order
        array[:, PRIMITIVES.index("none")] = 0.9
        weights[kind] = array
    return weights


def test_topology_lists_edges_in_the_order_of_alpha() -> None:
    edges = DARTS.topology.edges
    assert len(edges) == 14
    assert edges[:5] == ((0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
    assert edges[-1] == (4, 5)
    assert DARTS.topology.outputs == (2, 3, 4, 5)
    assert DARTS.topology.incoming(4) == (5, 6, 7, 8)
    assert SPACES["darts"] is DARTS


def test_only_edges_from_inputs_of_reducing_cells_have_stride_two() -> None:
    strides = [DARTS.topology.stride(source, True) for source in range(5)]
    assert strides == [2, 2, 1, 1, 1]
    assert {DARTS.topology.stride(source, False) for source in range(5)} == {1}


def test_skeleton_of_the_paper() -> None:
    plans = DARTS.skeleton(20)
    assert [index for index, plan in enumerate(plans) if plan.reduces] == [6, 13]
    assert [index for index, plan in enumerate(plans) if plan.previous_reduces] == [7, 14]
    assert [plans[i].multiplier for i in (5, 6, 12, 13, 19)] == [1, 2, 2, 4, 4]
    assert plans[6] == CellPlan("reduce", 2, True, False)
    assert DARTS.skeleton(1) == (CellPlan("reduce", 2, True, False),)
    with pytest.raises(ConfigError, match="layers: got 0"):
        DARTS.skeleton(0)


@pytest.mark.parametrize("name", ["ADVRUSH", "DARTS_V1", "DARTS_V2", "PDARTS", "RACL"])
def test_discretize_gives_published_cells_back(name: str) -> None:
    weights = weights_that_keep(PUBLISHED[name], np.random.default_rng(0))
    assert DARTS.discretize(weights) == PUBLISHED[name]
    assert DARTS.discretize({kind: array.tolist() for kind, array in weights.items()}) == PUBLISHED[name]


def test_of_equal_weights_the_lower_source_and_the_earlier_primitive_win() -> None:
    genotype = DARTS.discretize(dict.fromkeys(DARTS.kinds, np.full((14, 8), 0.125)))
    assert genotype.to_dict()["normal"] == [["max_pool_3x3", 0], ["max_pool_3x3", 1]] * 4


@settings(max_examples=50)
@given(st.integers(0, 2**32 - 1))
def test_discretize_follows_the_rule(seed: int) -> None:
    rng = np.random.default_rng(seed)
    weights = {kind: rng.dirichlet(np.full(8, 0.5), 14) for kind in DARTS.kinds}
    genotype = DARTS.discretize(weights)
    for kind, graph in genotype.cells().items():
        best = {
            edge: max((w, p) for w, p in zip(row, PRIMITIVES, strict=True) if p != "none")
            for edge, row in zip(DARTS.topology.edges, weights[kind].tolist(), strict=True)
        }
        for node in range(2, 6):
            kept = [edge for edge in graph.edges if edge.target == node]
            assert len({edge.source for edge in kept}) == 2
            assert all(best[edge.source, node][1] == edge.primitive for edge in kept)
            dropped = [best[source, node] for source in range(node) if source not in {e.source for e in kept}]
            strengths = [best[edge.source, node] for edge in kept]
            assert strengths == sorted(strengths, reverse=True)
            assert all(min(strengths) >= other for other in dropped)


def test_bad_weights_are_refused_with_their_place() -> None:
    good = np.full((14, 8), 0.125)
    with pytest.raises(GenotypeError, match="no 'reduce'"):
        DARTS.discretize({"normal": good})
    with pytest.raises(GenotypeError, match=r"reduce weights: got shape \(14, 7\); expected \(14, 8\)"):
        DARTS.discretize({"normal": good, "reduce": good[:, :7]})
    bad = good.copy()
    bad[3, 4] = np.nan
    with pytest.raises(GenotypeError, match="normal weights: edge 3, sep_conv_3x3: not finite"):
        DARTS.discretize({"normal": bad, "reduce": good})
