from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sixtyfold.stages.probe.aggregate import level_from, recall_of, wilson_bounds
from sixtyfold.stages.probe.sampling import ROULETTE, Estimate


def estimates(rows: list[tuple[float | None, list[float]]]) -> list[Estimate]:
    return [Estimate.counted(first, values) for first, values in rows]


def test_recall_is_the_mean_over_templates() -> None:
    found = recall_of(estimates([(None, [0.0, 1.0]), (None, [1.0]), (None, [0.0])]))
    assert found.value == pytest.approx(0.5)


def test_plain_draws_get_wilsons_interval() -> None:
    found = recall_of(estimates([(None, [1.0] * 3 + [0.0] * 7), (None, [0.0] * 10)]))
    low, high = wilson_bounds(0.15, 20, 0.95)
    assert (found.value, found.low, found.high) == pytest.approx((0.15, low, high))


def test_what_is_computed_is_not_uncertain() -> None:
    found = recall_of(estimates([(0.8, [0.8]), (0.9, [0.9])]))
    assert found.value == pytest.approx(0.85)
    assert found.low == pytest.approx(0.85)
    assert found.high < 1.0
    assert recall_of(estimates([(1.0, [1.0])] * 7)).low > 0.95


@given(
    st.lists(
        st.tuples(st.floats(0, 1), st.lists(st.floats(0, 1), min_size=1, max_size=4)),
        min_size=1,
        max_size=8,
    )
)
def test_interval_holds_the_value_and_stays_inside_0_and_1(
    rows: list[tuple[float, list[float]]],
) -> None:
    lifted = [(first, [first + (1 - first) * value for value in values]) for first, values in rows]
    found = recall_of(estimates(lifted))
    assert 0 <= found.low <= found.value + 1e-12
    assert found.value <= found.high + 1e-12
    assert found.high <= 1 + 1e-9


@pytest.mark.parametrize("draws", [1, 3])
@pytest.mark.parametrize("spread", [(0.0, 0.1), (0.0, 0.6), (0.3, 0.9), (0.8, 1.0)])
def test_interval_covers_the_truth(spread: tuple[float, float], draws: int) -> None:
    """Hardest remainders: each draw of the remainder is 0 or 1."""
    random = np.random.default_rng(1)
    covered = []
    for _ in range(400):
        certain = random.uniform(*spread, 7) * random.random(7)
        rest = random.uniform(*spread, 7)
        rows = [
            (float(f), [float(f + (1 - f) * (random.random() < g)) for _ in range(draws)])
            for f, g in zip(certain, rest, strict=True)
        ]
        found = recall_of(estimates(rows))
        truth = float(np.mean(certain + (1 - certain) * rest))
        covered.append(found.low - 1e-9 <= truth <= found.high + 1e-9)
    assert np.mean(covered) >= 0.94


@pytest.mark.parametrize("first", [0.92, 0.99, 0.999])
def test_interval_covers_the_truth_where_roulette_ends_draws(first: float) -> None:
    random = np.random.default_rng(2)
    covered = []
    for _ in range(400):
        goes_on = random.random(7) < (1 - first) / ROULETTE
        found = recall_of(estimates([(first, [1.0 - ROULETTE * each]) for each in goes_on]))
        covered.append(found.low - 1e-9 <= first <= found.high + 1e-9)
    assert np.mean(covered) >= 0.94


def test_level_is_the_most_probable_one() -> None:
    found = level_from(estimates([(None, [1.0]), (None, [0.0])]))
    assert (found.level, found.probability) == (2, 1.0)
    assert sum(found.probabilities) == pytest.approx(1)
