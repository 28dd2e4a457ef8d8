import math

import numpy as np
import pytest

from advrush.paper.artifacts import paper
from advrush.paper.render import to_markdown
from advrush.paper.statistics import McNemar, mcnemar, spread
from advrush.paper.table import Comparison, Table


def test_one_run_has_no_deviation() -> None:
    one = spread([50.5])
    assert (one.mean, one.sd, one.interval) == (50.5, None, None)


def test_mean_deviation_and_students_interval() -> None:
    three = spread([1.0, 2.0, 6.0])
    assert three.mean == 3.0
    assert three.sd == pytest.approx(math.sqrt(7))
    assert three.interval is not None
    half = 4.302653 * math.sqrt(7 / 3)  # Student's t with 2 degrees of freedom, 97.5%
    assert three.interval == pytest.approx((3 - half, 3 + half), rel=1e-6)


def test_mcnemar_is_the_exact_binomial_test_of_the_discordant_examples() -> None:
    first = np.array([True] * 8 + [False] * 2 + [True] * 5)
    second = np.array([False] * 8 + [True] * 2 + [True] * 5)
    found = mcnemar(first, second)
    assert (found.only_first, found.only_second, found.examples) == (8, 2, 15)
    tail = sum(math.comb(10, k) for k in range(3)) / 2**10
    assert found.p == pytest.approx(2 * tail)
    assert found.difference == pytest.approx(100 * 6 / 15)


def test_networks_that_are_right_on_the_same_examples_do_not_differ() -> None:
    flags = np.array([True, False, True])
    assert mcnemar(flags, flags).p == 1.0


def test_flags_of_other_examples_are_refused() -> None:
    with pytest.raises(ValueError, match="same examples"):
        mcnemar(np.ones(3, dtype=bool), np.ones(4, dtype=bool))


def test_pairs_of_three_seeds_are_compared_over_them() -> None:
    def ahead(second: str, seed: int, by: int) -> Comparison:
        return Comparison("adv_pgd20", "advrush", second, seed, McNemar(10 + by, 10, 100, 1.0))

    rows = [ahead("darts_v2", seed, by) for seed, by in enumerate((4, 5, 6))]
    rows += [ahead("pdarts", seed, by) for seed, by in enumerate((5, -6, 2))] + [
        ahead("racl", 0, 9),
        ahead("racl", 1, 9),
    ]
    artifact = paper().artifact("table1")
    table = Table(artifact, artifact.columns, (), (), tuple(rows))
    darts, pdarts = table.over_seeds
    assert (darts.second, darts.seeds, darts.told_apart) == ("darts_v2", 3, True)
    assert darts.difference.mean == pytest.approx(5.0)
    assert (pdarts.second, pdarts.told_apart) == ("pdarts", False)
    assert "3 seeds: AdvRush against DARTS: +5.0 points, 95% interval +2.5 to +7.5" in to_markdown(table)
    assert [each["second"] for each in table.to_dict()["over_seeds"]] == ["darts_v2", "pdarts"]
