from __future__ import annotations

import math

import pytest

from advrush.schedule import cosine
from advrush.training.config import OptimizerConfig


def test_cosine_begins_and_ends_where_it_is_told_and_is_half_way_in_the_middle() -> None:
    assert cosine(0.025, 0.001, 0, total=60) == 0.025
    assert cosine(0.025, 0.001, 60, total=60) == pytest.approx(0.001)
    assert cosine(0.025, 0.001, 30, total=60) == pytest.approx(0.013)


def test_cosine_is_the_published_formula_to_the_last_bit() -> None:
    rates = [0.001 + (0.025 - 0.001) * (1 + math.cos(math.pi * epoch / 60)) / 2 for epoch in range(60)]
    assert [cosine(0.025, 0.001, epoch, total=60) for epoch in range(60)] == rates


def test_training_uses_it() -> None:
    optimizer = OptimizerConfig(lr=0.2, lr_min=0.01, schedule="cosine")
    assert optimizer.rate(3, 10) == cosine(0.2, 0.01, 3, total=10)
