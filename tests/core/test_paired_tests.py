"""Paired differences: hand-computed cases, simulated coverage and false-alarm rates."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from sixtyfold.core.paired_tests import (
    difference_of_new,
    holm,
    mcnemar_exact,
    micro_difference,
    stratified_difference,
)

REPEATS = 1500


def test_mcnemar_by_hand() -> None:
    # 2 × P(≤ 2 of 12 fair coins) = 2 × (1 + 12 + 66) / 4096
    assert mcnemar_exact(10, 2) == pytest.approx(158 / 4096)
    assert mcnemar_exact(2, 10) == pytest.approx(158 / 4096)
    assert mcnemar_exact(4, 4) == 1.0


@pytest.mark.parametrize("changed", [5, 6, 12, 25, 60, 200])
def test_mcnemar_alarms_exactly(changed: int) -> None:
    """Enumerated, not simulated: at most 5%, whatever the number of changed facts."""
    gained = np.arange(changed + 1)
    alarms = [mcnemar_exact(int(up), changed - int(up)) < 0.05 for up in gained]
    assert stats.binom.pmf(gained, changed, 0.5)[alarms].sum() <= 0.05


@pytest.mark.parametrize("facts", [2, 5, 12])
def test_interval_of_a_small_relation_covers_exactly(facts: int) -> None:
    """Enumerated: what `by_relation` and `by_level` show of few facts."""
    counts = [(up, down) for up in range(facts + 1) for down in range(facts + 1 - up)]
    found = [micro_difference(up, down, facts) for up, down in counts]
    for gain in (0.02, 0.1, 0.3, 0.5):
        for loss in (0.02, 0.1, 0.3, 0.45):
            shares = [gain, loss, 1 - gain - loss]
            triples = [(up, down, facts - up - down) for up, down in counts]
            likely = stats.multinomial.pmf(triples, facts, shares)
            inside = [each.low <= gain - loss <= each.high for each in found if each is not None]
            assert likely[inside].sum() >= 0.94


def test_stratified_difference_by_hand() -> None:
    # Two strata of 10, gained 4 and 0, lost 1 and 0: value (.3 + 0) / 2 = .15.
    # m = 11; stratum 1: b = 4.5/11, c = 1.5/11, v = (.545455 − .074380) / 11 = .0428250;
    # stratum 2: b = c = .5/11, v = .0909091 / 11 = .00826446; variance = .0510894 / 4,
    # standard error .113015; df = .0510894² / (.0428250²/9 + .00826446²/9) = 12.349, t 2.172004,
    # half .245469; centre (3/11 + 0) / 2 = .136364; .136364 / .113015 = 1.206600
    found = stratified_difference([4, 0], [1, 0], [10, 10])
    assert found is not None
    assert found[:4] == pytest.approx((0.15, -0.109105, 0.381832, 20), abs=1e-5)
    assert found.p == pytest.approx(2 * stats.t.sf(1.206600, 12.349), abs=1e-5)
    # (2.172004 + 0.871705) × .113015 = .343984 is more than changed in stratum 2 (.090909), so that
    # d(1 − d) / 11 stands for its variance: .386123 = 3.043709 × √(.0428250 + .0215484) / 2
    assert found.detectable == pytest.approx(0.386123, abs=1e-5)


def test_new_relations_by_hand() -> None:
    # differences .1, .2, .3: mean .2, standard error .1 / √3 = .0577350, t = 3.4641, df 2
    found = difference_of_new([1, 2, 3], [0, 0, 0], [10, 10, 10])
    assert found is not None
    assert found[:4] == pytest.approx((0.2, -0.048414, 0.448414, 30), abs=1e-5)
    assert found.p == pytest.approx(0.07418, abs=1e-5)


def test_micro_takes_its_p_from_mcnemar() -> None:
    found = micro_difference(10, 2, 40)
    assert found is not None
    assert found.value == pytest.approx(0.2)
    assert found.p == pytest.approx(158 / 4096)


def test_nothing_changed_is_not_certain() -> None:
    found = stratified_difference([0, 0], [0, 0], [15, 15])
    assert found is not None
    assert found.value == 0
    assert found.p == 1
    assert found.low < -0.02 < 0.02 < found.high


def test_undefined_differences() -> None:
    assert stratified_difference([], [], []) is None
    assert micro_difference(0, 0, 0) is None
    assert difference_of_new([1], [0], [10]) is None


def test_equal_differences_of_new_relations_are_not_certain() -> None:
    for gained in ([1, 1], [0, 0]):
        new = difference_of_new(gained, [0, 0], [10, 10])
        these = stratified_difference(gained, [0, 0], [10, 10])
        assert new is not None
        assert new == these


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=2, max_size=8))
def test_new_relations_are_never_surer_than_these(changes: list[tuple[int, int]]) -> None:
    up, down = ([each[side] for each in changes] for side in (0, 1))
    new = difference_of_new(up, down, [10] * len(up))
    these = stratified_difference(up, down, [10] * len(up))
    assert new is not None
    assert these is not None
    assert new.low <= these.low <= these.high <= new.high
    assert new.p >= these.p
    assert new.detectable >= these.detectable


def test_holm_by_hand() -> None:
    # sorted .01 × 4, .02 × 3, .03 × 2, .5 × 1, made non-decreasing
    assert holm([0.02, 0.5, 0.01, 0.03]) == pytest.approx([0.06, 0.5, 0.04, 0.06])
    assert holm([0.9, 0.8]) == pytest.approx([1.0, 1.0])


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_is_statsmodels(p_values: list[float]) -> None:
    expected = multipletests(p_values, method="holm")[1] if p_values else []
    assert holm(p_values) == list(expected)
    assert holm([]) == []


counts = st.lists(
    st.integers(1, 30).flatmap(
        lambda n: st.integers(0, n).flatmap(
            lambda up: st.tuples(st.just(up), st.integers(0, n - up), st.just(n))
        )
    ),
    min_size=1,
    max_size=8,
)


@given(counts)
def test_swapping_the_models_flips_the_sign(strata: list[tuple[int, int, int]]) -> None:
    up, down, total = (list(column) for column in zip(*strata, strict=True))
    forth = stratified_difference(up, down, total)
    back = stratified_difference(down, up, total)
    assert forth is not None
    assert back is not None
    assert (-back.value, -back.high, -back.low, back.p) == pytest.approx(
        (forth.value, forth.low, forth.high, forth.p)
    )


@given(counts)
def test_interval_and_p_agree(strata: list[tuple[int, int, int]]) -> None:
    up, down, total = (list(column) for column in zip(*strata, strict=True))
    found = stratified_difference(up, down, total)
    assert found is not None
    assert found.low <= found.value <= found.high
    if abs(found.p - 0.05) > 1e-9:
        assert (found.p < 0.05) == (found.low > 0 or found.high < 0)


def simulate(gain: list[float], loss: list[float], size: int, seed: int) -> tuple[float, float]:
    """Return coverage of the interval and share of p < 5%."""
    rng = np.random.default_rng(seed)
    truth = float(np.mean(gain) - np.mean(loss))
    inside, alarms = 0, 0
    shares = [[up, down, 1 - up - down] for up, down in zip(gain, loss, strict=True)]
    draws = [rng.multinomial(size, share, size=REPEATS) for share in shares]
    for study in range(REPEATS):
        up = [int(stratum[study][0]) for stratum in draws]
        down = [int(stratum[study][1]) for stratum in draws]
        found = stratified_difference(up, down, [size] * len(gain))
        assert found is not None
        inside += found.low <= truth <= found.high
        alarms += found.p < 0.05
    return inside / REPEATS, alarms / REPEATS


@pytest.mark.parametrize(
    ("rate", "strata", "size"), [(0.1, 5, 30), (0.3, 5, 10), (0.05, 8, 30), (0.3, 1, 40)]
)
def test_false_alarms_are_as_stated(rate: float, strata: int, size: int) -> None:
    covered, alarms = simulate([rate] * strata, [rate] * strata, size, seed=3)
    assert 0.02 <= alarms <= 0.065
    assert 0.935 <= covered <= 0.98


@pytest.mark.parametrize("sizes", [(4, 6, 8, 10, 12, 20), (5, 6, 8, 10, 12, 14, 15, 20, 25, 35)])
def test_false_alarms_where_strata_are_small_and_unequal(sizes: tuple[int, ...]) -> None:
    """A normal interval alarms in 6.4% here."""
    rng = np.random.default_rng(9)
    counts = [rng.multinomial(size, [0.2, 0.2, 0.6], size=4000) for size in sizes]
    alarms = 0
    for study in range(4000):
        found = stratified_difference(
            [int(each[study][0]) for each in counts],
            [int(each[study][1]) for each in counts],
            sizes,
        )
        assert found is not None
        alarms += found.p < 0.05
    assert 0.04 <= alarms / 4000 <= 0.0605


def test_interval_covers_a_real_difference() -> None:
    covered, found = simulate([0.4, 0.3, 0.2, 0.1, 0.0], [0.02] * 5, 30, seed=4)
    assert 0.935 <= covered <= 0.975
    assert found > 0.95


def test_detectable_difference_of_all_facts_is_found_about_four_times_in_five() -> None:
    """Exact McNemar is more careful than the t test it is reckoned for, so a little less often."""
    facts, agreeing = 200, 0.15
    guess = micro_difference(30, 30, facts)
    assert guess is not None
    shares = [agreeing + guess.detectable / 2, agreeing - guess.detectable / 2]
    draws = np.random.default_rng(8).multinomial(facts, [*shares, 1 - sum(shares)], REPEATS)
    found = [mcnemar_exact(int(up), int(down)) < 0.05 for up, down, _ in draws]
    assert 0.72 <= np.mean(found) <= 0.86


def test_where_nothing_changed_a_detectable_difference_is_one_that_mcnemar_can_find() -> None:
    found = micro_difference(0, 0, 400)
    assert found is not None
    # reach² (1 − d) / 402 = d: 1.966² + .842² together 7.886, d = .019238; 7.7 facts
    assert found.detectable == pytest.approx(0.01924, abs=1e-4)
    draws = np.random.default_rng(10).binomial(400, found.detectable, REPEATS)
    alarms = np.mean([mcnemar_exact(int(up), 0) < 0.05 for up in draws])
    assert 0.72 <= alarms <= 0.86


def test_detectable_difference_is_found_four_times_in_five() -> None:
    size, strata, agreeing = 30, 5, 0.2
    guess = stratified_difference([6] * strata, [6] * strata, [size] * strata)
    assert guess is not None
    shift = guess.detectable / 2
    gain, loss = [agreeing + shift] * strata, [agreeing - shift] * strata
    _, found = simulate(gain, loss, size, seed=5)
    assert 0.75 <= found <= 0.86


def test_false_alarms_for_new_relations() -> None:
    """Relations differ truly, around 0; t holds its level where the stratified test does not."""
    rng = np.random.default_rng(6)
    # True mean difference: .25 gained − .75 × .3 lost = .025.
    for_new, for_these = 0, 0
    for _ in range(REPEATS):
        effect = rng.normal(0, 0.08, size=6)
        up = [int(rng.binomial(50, 0.25 + each)) for each in np.clip(effect, -0.2, 0.2)]
        down = [int(rng.binomial(50 - used, 0.3)) for used in up]
        found = difference_of_new(up, down, [50] * 6)
        assert found is not None
        for_new += found.low <= 0.025 <= found.high
        these = stratified_difference(up, down, [50] * 6)
        assert these is not None
        for_these += these.low <= 0.025 <= these.high
    assert 0.93 <= for_new / REPEATS <= 0.97
    assert for_these / REPEATS < 0.85
