from __future__ import annotations

import itertools
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sixtyfold.core.levels import level_of, level_probabilities

RATES = st.lists(st.floats(0, 1), min_size=1, max_size=4)


def enumerated(rates: list[float], draws: int) -> list[float]:
    """Every combination of hit counts per template."""
    levels = [0.0] * 5
    for counts in itertools.product(range(draws + 1), repeat=len(rates)):
        mass = 1.0
        for count, rate in zip(counts, rates, strict=True):
            mass *= comb(draws, count) * rate**count * (1 - rate) ** (draws - count)
        levels[level_of(sum(counts) / (len(rates) * draws))] += mass
    return levels


@given(RATES, st.integers(1, 4))
def test_equals_enumeration(rates: list[float], draws: int) -> None:
    assert level_probabilities(rates, draws) == pytest.approx(enumerated(rates, draws), abs=1e-9)


@given(RATES)
def test_is_a_distribution_that_ignores_order(rates: list[float]) -> None:
    found = level_probabilities(rates)
    assert found.sum() == pytest.approx(1)
    assert (found >= 0).all()
    assert found == pytest.approx(level_probabilities(rates[::-1]), abs=1e-12)


def test_level_0_depends_on_the_number_of_draws() -> None:
    """Design §6: at recall 1%, no hit in 210 draws 12% of the time, in 21 draws 81%."""
    assert level_probabilities([0.01] * 21)[0] == pytest.approx(0.99**210)
    assert level_probabilities([0.01] * 21, draws=1)[0] == pytest.approx(0.99**21)


def test_templates_that_disagree_are_not_pooled() -> None:
    """Half sure, half impossible is always level 2; one pooled binomial would say otherwise."""
    assert level_probabilities([1.0, 0.0])[2] == 1.0
    assert level_probabilities([0.5, 0.5])[2] < 0.8


@pytest.mark.parametrize(
    ("recall", "level"),
    [(0, 0), (1e-9, 1), (0.25, 1), (0.2501, 2), (0.5, 2), (0.75, 3), (0.7501, 4), (1, 4)],
)
def test_cut_points(recall: float, level: int) -> None:
    assert level_of(recall) == level


def test_rates_outside_0_and_1_are_taken_as_the_nearest() -> None:
    assert np.array_equal(level_probabilities([-0.1, 1.1]), level_probabilities([0, 1]))
