from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from sixtyfold.core.replicates import replicated_difference, replicated_mean


def test_value_is_the_macro_mean_over_replicas() -> None:
    before = np.array([[0, 0, 1], [1, 0, 1]], dtype=bool)
    after = np.array([[1, 0, 1], [1, 0, 0]], dtype=bool)
    found = replicated_difference(before, after, ["a", "a", "b"])
    # Replica 0: a +1/2, b 0: macro .25; replica 1: a 0, b −1: macro −.5.
    assert found.value == pytest.approx(-0.125)


def test_error_adds_facts_and_replicas() -> None:
    before = np.zeros((2, 4), dtype=bool)
    after = np.array([[1, 1, 0, 0], [1, 0, 0, 0]], dtype=bool)
    found = replicated_difference(before, after, ["a"] * 4)
    # Facts: means 1, .5, 0, 0 and the two pseudo-observations ±1 on 4 + 2 facts.
    facts = ((1 + 0.25 + 2) / 6 - (1.5 / 6) ** 2) / 6
    replicas = np.var([0.5, 0.25], ddof=1) / 2
    assert found.error == pytest.approx(np.sqrt(facts + replicas))
    assert found.lower < found.value < found.upper


def test_bounds_and_p_by_hand() -> None:
    # The case above: value .375; facts (3.25/6 − .0625)/6 = .0798611, replicas .03125/2 = .015625;
    # error √.0954861 = .309008; df = .0954861² / (.0798611²/3 + .015625²/1) = 3.84697
    after = np.array([[1, 1, 0, 0], [1, 0, 0, 0]], dtype=bool)
    found = replicated_difference(np.zeros((2, 4), dtype=bool), after, ["a"] * 4)
    assert found.value == pytest.approx(0.375)
    assert found.error == pytest.approx(0.309008, abs=1e-6)
    assert found.freedom == pytest.approx(3.84697, abs=1e-4)
    # t(.95, 3.84697) = 2.156448
    assert found.lower == pytest.approx(0.375 - 2.156448 * 0.309008, abs=1e-5)
    assert found.upper == 1.0  # 1.04136, cut
    assert found.p_above_zero == pytest.approx(stats.t.sf(1.213561, 3.84697), abs=1e-5)


def test_one_replica_has_the_error_of_its_facts() -> None:
    hits = np.array([[1, 0, 1, 1]], dtype=bool)
    found = replicated_difference(np.zeros_like(hits), hits, ["a"] * 4)
    assert found.freedom == pytest.approx(3)


def test_equal_answers_differ_by_nothing_with_some_doubt() -> None:
    hits = np.ones((3, 20), dtype=bool)
    found = replicated_difference(hits, hits, ["a"] * 20)
    assert found.value == 0
    assert found.upper > 0
    assert found.p_above_zero == pytest.approx(0.5)


def test_different_facts_are_refused() -> None:
    with pytest.raises(ValueError, match="same facts"):
        replicated_difference(np.ones((2, 3), bool), np.ones((2, 4), bool), ["a"] * 3)


@pytest.mark.parametrize(("replicas", "of_sets"), [(3, 0.0), (3, 0.6), (5, 0.3)])
def test_upper_bounds_hold_for_new_facts_and_new_sets(replicas: int, of_sets: float) -> None:
    """Logit model: difficulty of the fact, quality of each set, five relations of unequal size."""
    random = np.random.default_rng(5)
    sizes = np.array([10, 15, 25, 40, 60])
    strata = np.repeat(list("abcde"), sizes).tolist()
    trials, shift = 400, -0.4
    nodes, weights = np.polynomial.hermite_e.hermegauss(41)

    def share(centre: float, spread: float) -> float:
        """Probability of a hit, averaged over facts and sets."""
        p = 1 / (1 + np.exp(-(centre + spread * nodes)))
        return float(p @ weights / weights.sum())

    spread = float(np.hypot(1.5, of_sets))
    truth = share(0.3 + shift, spread) - share(0.3, spread)
    held = 0
    for _ in range(trials):
        fact = random.normal(0, 1.5, len(strata))
        sides = []
        for centre in (0.3, 0.3 + shift):
            quality = random.normal(0, of_sets, (replicas, 1))
            p = 1 / (1 + np.exp(-(centre + fact + quality)))
            sides.append(random.random(p.shape) < p)
        held += truth <= replicated_difference(*sides, strata).upper
    assert held / trials >= 0.93


@pytest.mark.parametrize(("of_sets", "most"), [(0.0, 0.05), (0.3, 0.065), (0.8, 0.085)])
def test_false_alarms_where_more_does_not_hurt(of_sets: float, most: float) -> None:
    """Two ways alike but for their sets, three replicas; 5% with a simulation error of 1 point.

    Where sets differ as much as .8 on the logit scale, three of them tell little of their spread.
    """
    random = np.random.default_rng(9)
    strata = np.repeat(list("abcde"), [10, 15, 25, 40, 60]).tolist()
    alarms, trials = 0, 500
    for _ in range(trials):
        fact = random.normal(0, 1.5, len(strata))
        p = [1 / (1 + np.exp(-fact - random.normal(0, of_sets, (3, 1)))) for _ in range(2)]
        before, after = (random.random(each.shape) < each for each in p)
        alarms += replicated_difference(before, after, strata).p_above_zero < 0.05
    assert alarms / trials <= most


def test_two_sided_interval_and_p_are_one_statement() -> None:
    after = np.array([[1, 1, 0, 0], [1, 0, 0, 0]], dtype=bool)
    found = replicated_difference(np.zeros((2, 4), dtype=bool), after, ["a"] * 4)
    interval = found.two_sided()
    reach = stats.t.ppf(0.975, 3.84697) * 0.309008
    assert interval.low == pytest.approx(0.375 - reach, abs=1e-5)
    assert interval.high == pytest.approx(0.375 + reach, abs=1e-5)
    assert interval.p == pytest.approx(2 * found.p_above_zero)
    assert interval.cut().high == 1.0 < interval.high


def test_mean_of_a_measure_by_hand() -> None:
    found = replicated_mean(np.array([[1.0, 2.0, 6.0], [3.0, 2.0, 4.0]]))
    # Facts: means 2, 2, 5: variance 3, over 3 facts 1; replicas: means 3, 3: nothing.
    assert found.value == pytest.approx(3.0)
    assert found.error == pytest.approx(1.0)
    assert found.freedom == pytest.approx(2)
    assert found.upper == pytest.approx(3 + stats.t.ppf(0.95, 2))
    # Replicas: means 3 and 4: variance .5 over 2; facts: means 2, 3, 5.5: 3.25 / 3.
    found = replicated_mean(np.array([[1.0, 2.0, 6.0], [3.0, 4.0, 5.0]]))
    assert found.error == pytest.approx(np.sqrt(0.25 + 3.25 / 3))


def test_mean_of_no_fact_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one fact"):
        replicated_mean(np.zeros((2, 0)))
