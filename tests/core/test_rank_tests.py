"""Predicting a yes or no: hand-computed cases, simulated coverage and false-alarm rates."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from sixtyfold.core.rank_tests import LEAST, newcombe, separation

REPEATS = 1000


def test_by_hand() -> None:
    # "yes" has 2 and 5, "no" has 1, 3 and 5: pairs won 2>1, 5>1, 5>3, tied 5=5, lost 2<3, 2<5
    found = separation(np.array([2.0, 5, 1, 3, 5]), np.array([True, True, False, False, False]))
    assert found is not None
    assert (found.n_yes, found.n_no) == (2, 3)
    assert found.auc == pytest.approx(3.5 / 6)
    assert found.rho == pytest.approx(stats.spearmanr([2, 5, 1, 3, 5], [1, 1, 0, 0, 0]).statistic)
    assert (found.auc_low, found.auc_high, found.rho_low, found.rho_high) == (None,) * 4


def test_p_is_that_of_all_permutations() -> None:
    numbers = np.array([0.1, 0.4, 0.3, 2.0, 1.1, 0.9, 3.0])
    yes = np.array([False, False, False, True, True, False, True])
    ranks = stats.rankdata(numbers)
    sums = [sum(ranks[list(each)]) for each in combinations(range(7), 3)]
    far = np.abs(np.array(sums) - 12) >= abs(ranks[yes].sum() - 12) - 1e-9
    found = separation(numbers, yes)
    assert found is not None
    assert found.p == pytest.approx(far.mean(), abs=0.015)


def test_delong_by_hand() -> None:
    # Placements of "yes" 1.5, 3.5, 4.5, 5.5, 6.5 among "no" 1..5: .2, .6, .8, 1, 1 (mean .72,
    # variance .112); of "no" among "yes": 0, .2, .2, .4, .6 (variance .052).
    # Standard error sqrt(.112/5 + .052/5) = .181108; logit .944462, its error
    # .181108 / (.72 × .28) = .898352; df = .0328² / (.0224²/4 + .0104²/4) = 7.05575, t 2.360851;
    # bounds by t × .898352.
    yes, no = [1.5, 3.5, 4.5, 5.5, 6.5], [1.0, 2, 3, 4, 5]
    found = separation(np.array(yes + no), np.array([True] * 5 + [False] * 5))
    assert found is not None
    assert found.auc == pytest.approx(0.72)
    assert found.auc_low == pytest.approx(0.235698, abs=1e-5)
    assert found.auc_high == pytest.approx(0.955440, abs=1e-5)


def test_newcombe_solves_its_equation() -> None:
    for auc in (0.0, 0.3, 0.5, 0.9, 1.0):
        for bound in set(newcombe(auc, 12, 30)) - {0.0, 1.0}:
            spread = 1 + 20 * ((1 - bound) / (2 - bound) + bound / (1 + bound))
            variance = bound * (1 - bound) * spread / 360
            assert abs(auc - bound) == pytest.approx(1.959964 * variance**0.5, abs=1e-6)
    low, high = newcombe(0.0, 12, 30)
    assert (low, 1 - high) == pytest.approx(tuple(reversed(_mirrored(newcombe(1.0, 12, 30)))))


def _mirrored(bounds: tuple[float, float]) -> tuple[float, float]:
    return bounds[0], 1 - bounds[1]


def test_groups_that_do_not_overlap_are_not_certain() -> None:
    found = separation(np.arange(20.0), np.arange(20) >= 10)
    assert found is not None
    assert found.auc == found.auc_high == 1
    assert found.auc_low == pytest.approx(newcombe(1.0, 10, 10)[0])
    assert found.rho_high == pytest.approx(found.rho)
    assert found.p < 0.001


def test_rho_and_its_bounds_are_the_area_on_another_scale() -> None:
    random = np.random.default_rng(3)
    numbers, yes = random.normal(size=40).round(1), random.random(40) < 0.3
    found = separation(numbers, yes)
    assert found is not None
    slope = found.rho / (2 * found.auc - 1)
    assert found.rho_low == pytest.approx(slope * (2 * found.auc_low - 1))
    assert found.rho_high == pytest.approx(slope * (2 * found.auc_high - 1))
    assert found.rho == pytest.approx(stats.spearmanr(numbers, yes).statistic)


def test_undefined() -> None:
    assert separation(np.arange(3.0), np.array([True] * 3)) is None
    assert separation(np.arange(3.0), np.array([False] * 3)) is None
    assert separation(np.ones(4), np.array([True, False, True, False])) is None


def test_few_of_a_kind_have_no_interval() -> None:
    numbers = np.arange(30.0)
    few = separation(numbers, (numbers > 3) & (numbers < 3 + LEAST))
    enough = separation(numbers, (numbers > 3) & (numbers < 4 + LEAST))
    assert few is not None
    assert enough is not None
    assert few.auc_low is None
    assert enough.auc_low is not None


def test_the_seed_decides_the_permutations_and_order_nothing() -> None:
    random = np.random.default_rng(5)
    numbers, yes = random.normal(size=50), random.random(50) < 0.4
    assert separation(numbers, yes, seed=1) == separation(numbers, yes, seed=1)
    there, back = separation(numbers, yes), separation(-numbers, yes)
    assert there is not None
    assert back is not None
    assert back.auc == pytest.approx(1 - there.auc)
    assert (back.auc_low, back.auc_high) == pytest.approx((1 - there.auc_high, 1 - there.auc_low))


@pytest.mark.parametrize(
    ("n_yes", "n_no", "spread", "auc"),
    [(10, 50, 1, 0.5), (10, 50, 3, 0.7), (30, 200, 1 / 3, 0.7), (60, 40, 1, 0.9), (8, 12, 1, 0.6),
     (10, 50, 1, 0.9)],
)  # fmt: skip
def test_interval_covers(
    n_yes: int, n_no: int, spread: float, auc: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sixtyfold.core.rank_tests.PERMUTATIONS", 1)
    random = np.random.default_rng(7)
    shift = stats.norm.ppf(auc) * np.sqrt(1 + spread**2)
    yes = np.arange(n_yes + n_no) < n_yes
    inside = 0
    for _ in range(REPEATS):
        numbers = random.normal(size=n_yes + n_no)
        numbers[:n_yes] = shift + spread * numbers[:n_yes]
        found = separation(np.exp(numbers), yes)  # skewed, as divergences are
        assert found is not None
        assert found.auc_low is not None
        assert found.auc_high is not None
        inside += found.auc_low <= auc <= found.auc_high
    # standard error 0.7 points; the last two with the normal quantile: 93.5 and 94.9%
    assert 0.935 <= inside / REPEATS <= 0.99


def test_false_alarms_are_as_stated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sixtyfold.core.rank_tests.PERMUTATIONS", 399)
    random = np.random.default_rng(8)
    yes = np.arange(40) < 9
    alarms = 0
    for study in range(REPEATS):
        numbers = random.normal(size=40).round(1)  # with ties
        found = separation(numbers, yes, seed=study)
        assert found is not None
        alarms += found.p < 0.05
    assert 0.03 <= alarms / REPEATS <= 0.065
