"""Intervals of shares: hand-computed cases, properties and simulated coverage."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from sixtyfold.core.statistics import Estimate, macro, mean_and_half_width, wilson

REPEATS = 1500


def test_wilson_by_hand() -> None:
    # z² = 3.841459; centre (5 + 1.920729) / (10 + 3.841459) = 0.5; half width
    # sqrt(10 × 0.25 × 3.841459 + 3.841459² / 4) / 13.841459 = 0.263407
    estimate = wilson(5, 10)
    assert estimate == pytest.approx((0.5, 0.236593, 0.763407, 10), abs=1e-6)


def test_no_facts_give_no_estimate() -> None:
    assert wilson(0, 0) is None
    assert macro([], []) is None
    assert macro([0], [0]) is None


def test_macro_weights_strata_alike() -> None:
    estimate = macro([1, 90], [2, 100])
    assert estimate is not None
    assert estimate.value == pytest.approx((0.5 + 0.9) / 2)
    assert estimate.n == 102


def test_macro_by_hand() -> None:
    # strata 5/10 and 10/10, G = 2: smoothed 5.5/11 = .5 and 10.5/11 = .954545;
    # v = (.025 + .00433884) / 4 = .00733471; q = .727273; m = .198347 / .00733471 = 27.04219;
    # df = .0293388² / (.025²/9 + .00433884²/9) = 12.0326, t = 2.178158, t²/m = .175444;
    # Wilson of .75 over m with this t: centre (.75 + .087722) / 1.175444 = .712686,
    # half sqrt(.175444 × (.1875 + .043861)) / 1.175444 = .171400
    estimate = macro([5, 10], [10, 10])
    assert estimate == pytest.approx((0.75, 0.541286, 0.884086, 20), abs=1e-5)


def test_macro_of_one_stratum_is_wilson() -> None:
    assert macro([3], [17]) == pytest.approx(wilson(3, 17))


def test_macro_is_undefined_below_the_least_size() -> None:
    assert macro([10, 10], [20, 19], least=20) is None
    assert macro([10, 10], [20, 20], least=20) is not None


def test_strata_of_all_hits_are_not_certain() -> None:
    estimate = macro([5, 5, 5], [5, 5, 5])
    assert estimate is not None
    assert estimate.value == estimate.high == 1
    assert estimate.low < 0.9


def test_mean_of_a_sample_by_hand() -> None:
    # .1, .2, .3: mean .2, sd .1, t(.975, 2) = 4.302653, half .1 / √3 × 4.302653 = .248414
    found = mean_and_half_width(np.array([0.1, 0.2, 0.3]))
    assert found == pytest.approx((0.2, 0.248414), abs=1e-6)


@pytest.mark.parametrize(("total", "least"), [(5, 0.9), (20, 0.92), (60, 0.93)])
def test_wilson_covers_exactly(total: int, least: float) -> None:
    """Enumerated, not simulated: 95% on average over shares of .05 to .95."""
    estimates = [wilson(hits, total) for hits in range(total + 1)]
    shares = np.linspace(0.05, 0.95, 91)
    held = [
        sum(
            stats.binom.pmf(hits, total, share)
            for hits, each in enumerate(estimates)
            if each is not None and each.low <= share <= each.high
        )
        for share in shares
    ]
    assert min(held) >= least
    assert 0.945 <= np.mean(held) <= 0.97


strata = st.lists(
    st.integers(1, 40).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))),
    min_size=1,
    max_size=8,
)


@given(strata)
def test_macro_interval_holds_its_value_inside_zero_to_one(counts: list[tuple[int, int]]) -> None:
    estimate = macro([hits for hits, _ in counts], [total for _, total in counts])
    assert estimate is not None
    assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1
    assert estimate.high - estimate.low > 0


@given(strata)
def test_macro_mirrors_when_hits_become_misses(counts: list[tuple[int, int]]) -> None:
    totals = [total for _, total in counts]
    hits = macro([hit for hit, _ in counts], totals)
    misses = macro([total - hit for hit, total in counts], totals)
    assert hits is not None
    assert misses is not None
    assert (1 - misses.value, 1 - misses.high, 1 - misses.low) == pytest.approx(hits[:3])


def coverage(shares: list[float], size: int, seed: int) -> float:
    """Share of simulated studies whose interval holds the true macro."""
    rng = np.random.default_rng(seed)
    truth = float(np.mean(shares))
    inside = 0
    for hits in rng.binomial(size, shares, size=(REPEATS, len(shares))):
        estimate = macro(hits.tolist(), [size] * len(shares))
        assert estimate is not None
        inside += estimate.low <= truth <= estimate.high
    return inside / REPEATS


@pytest.mark.parametrize(
    ("shares", "size"),
    [
        ([0.55] * 5, 30),
        ([0.07] * 5, 30),  # a base asked plainly
        ([0.02, 0.1, 0.5, 0.9, 0.98], 20),
        ([0.0, 0.0, 0.3, 1.0], 25),  # strata of all hits and of none
        ([0.95] * 3, 20),
    ],
)
def test_macro_interval_covers_nominally(shares: list[float], size: int) -> None:
    # standard error of the simulated coverage: 0.6 points
    assert 0.93 <= coverage(shares, size, seed=1) <= 0.985


@pytest.mark.parametrize(
    ("shares", "sizes"),
    [([0.5] * 5, (2, 3, 4, 6, 9)), ([0.7, 0.76, 0.81, 0.87, 0.92, 0.98], (4, 6, 8, 10, 12, 20))],
)
def test_macro_interval_covers_small_unequal_strata(
    shares: list[float], sizes: tuple[int, ...]
) -> None:
    """With the normal quantile 90% and 92%."""
    rng = np.random.default_rng(3)
    truth, inside = float(np.mean(shares)), 0
    for hits in rng.binomial(sizes, shares, size=(3000, len(sizes))):
        estimate = macro(hits.tolist(), sizes)
        assert estimate is not None
        inside += estimate.low <= truth <= estimate.high
    assert 0.935 <= inside / 3000 <= 0.965


def test_rounded() -> None:
    assert Estimate(2 / 3, 0.1234567, 1.0, 9).rounded() == {
        "value": 0.666667, "low": 0.123457, "high": 1.0, "n": 9,
    }  # fmt: skip
