from __future__ import annotations

import pytest

from advrush.seeds import Purpose, derive_seed

VALUES = {
    (Purpose.DATA_ORDER, 7, 11): 7_000_032,
    (Purpose.DATA_ORDER, 2**62, 5): (2**62 * 1_000_003 + 5) % 2**63,
    (Purpose.SECOND_LEVEL, 7): 8,
    (Purpose.SEARCH_STEP, 7, 11, 13): 7_001_100_013,
    (Purpose.RELAXATION, 7, 11, 13, 1): 7_001_100_027,
    (Purpose.DROP_PATH, 7, 11): 7_000_011,
    (Purpose.ATTACK_STARTS, 7, 11): 8_000_011,
    (Purpose.ATTACK_BATCH, 7, 200): 207,
    (Purpose.ENSEMBLE_MEMBER, 7, 3): 23_764,
    (Purpose.PROBE_BATCH, 7, 100): 7_000_121,
}


@pytest.mark.parametrize("given", VALUES, ids=lambda given: f"{given[0].name.lower()}-{given[1]}")
def test_values_stay_those_of_finished_runs(given: tuple[Purpose, int]) -> None:
    assert derive_seed(*given) == VALUES[given]


def test_every_purpose_is_pinned_and_has_a_formula_of_its_own() -> None:
    assert {given[0] for given in VALUES} == set(Purpose)
    assert len(Purpose.__members__) == len(list(Purpose))  # equal formulas would be one member with two names


def test_a_forgotten_part_is_an_error() -> None:
    with pytest.raises(ValueError, match="argument"):
        derive_seed(Purpose.SEARCH_STEP, 7, 11)
