import math

import numpy as np
import pytest

from advrush.paper.statistics import mcnemar, spread


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
