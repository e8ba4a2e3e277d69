"""Does a number predict a yes or no? Rank correlation and area under the curve, with a test.

For a yes/no outcome, Spearman's correlation and the area under the ROC curve (the probability that
a "yes" has the larger number, ties half) say the same: with the counts held fixed one is a linear
function of the other. So there is one interval and one test, shown on both scales. Knows numbers
only; which facts were lost is the drift stage's business.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special, stats

from sixtyfold.core.statistics import ALPHA

LEAST = 5
"""Fewer "yes" or "no" than this have no interval: simulated coverage falls below 90%."""
PERMUTATIONS = 9999

Floats = NDArray[np.float64]


class Separation(NamedTuple):
    """How well a number tells "yes" from "no".

    `rho` is Spearman's rank correlation (midranks) of number and outcome, `auc` the probability
    that a "yes" has the larger number. The bounds are 95% intervals, None with fewer than `LEAST`
    of either kind. `p` is two-sided, by permutation of the outcomes.
    """

    n_yes: int
    n_no: int
    rho: float
    rho_low: float | None
    rho_high: float | None
    auc: float
    auc_low: float | None
    auc_high: float | None
    p: float


def separation(numbers: Floats, yes: NDArray[np.bool_], seed: int = 0) -> Separation | None:
    """Return how well numbers predict a yes/no outcome.

    The interval is DeLong's (1988) on the logit scale, which holds under unequal spread of the two
    groups, with t in the normal quantile's place (Satterthwaite's degrees of freedom, as Brunner &
    Munzel 2000 for the same variance): one group may be small and make up most of it. Where the
    groups do not overlap at all that variance is 0 and Newcombe's (2006, method 5) takes its place.
    `benchmarks/intervals_of_comparisons.py` prints what both cover.

    Args:
        numbers: shape (n,), finite.
        yes: shape (n,), the outcomes.
        seed: of the permutations.

    Returns:
        The separation, or None where one kind is missing or all numbers are equal.

    >>> found = separation(np.array([1., 2., 3., 4.]), np.array([False, False, True, True]))
    >>> found.auc, round(found.rho, 4), found.rho_low
    (1.0, 0.8944, None)
    """
    n_yes, n_no = int(yes.sum()), int((~yes).sum())
    if n_yes == 0 or n_no == 0 or np.ptp(numbers) == 0:
        return None
    ranks = stats.rankdata(numbers)
    auc = _auc(ranks[yes], n_no)
    share = n_yes / len(numbers)
    # Spearman = slope × (2 auc − 1): the ranks' means differ by n (auc − 1/2)
    slope = len(numbers) / 2 * float(np.sqrt(share * (1 - share))) / float(ranks.std())
    low, high = _interval(numbers[yes], numbers[~yes], auc)
    return Separation(
        n_yes,
        n_no,
        slope * (2 * auc - 1),
        None if low is None else slope * (2 * low - 1),
        None if high is None else slope * (2 * high - 1),
        auc,
        low,
        high,
        _permutation_p(ranks, n_yes, float(ranks[yes].sum()), seed),
    )


def _auc(ranks_of_yes: Floats, n_no: int) -> float:
    n_yes = len(ranks_of_yes)
    return float((ranks_of_yes.sum() - n_yes * (n_yes + 1) / 2) / (n_yes * n_no))


def _interval(yes: Floats, no: Floats, auc: float) -> tuple[float | None, float | None]:
    if min(len(yes), len(no)) < LEAST:
        return None, None
    of_yes = float(_placements(yes, no).var(ddof=1)) / len(yes)
    of_no = float(_placements(no, yes).var(ddof=1)) / len(no)
    variance = of_yes + of_no
    if variance == 0 or auc in (0.0, 1.0):
        return newcombe(auc, len(yes), len(no))
    freedom = variance**2 / (of_yes**2 / (len(yes) - 1) + of_no**2 / (len(no) - 1))
    logit = np.log(auc / (1 - auc))
    quantile = float(special.stdtrit(freedom, 1 - ALPHA / 2))
    half = quantile * np.sqrt(variance) / (auc * (1 - auc))
    low, high = (float(1 / (1 + np.exp(-each))) for each in (logit - half, logit + half))
    return low, high


def _placements(of: Floats, among: Floats) -> Floats:
    """Return, for each number of one group, the share of the other below it, ties half."""
    ordered = np.sort(among)
    below = np.searchsorted(ordered, of, "left") + np.searchsorted(ordered, of, "right")
    return np.asarray(below / (2 * len(among)))


def newcombe(auc: float, n_yes: int, n_no: int) -> tuple[float, float]:
    """Return Newcombe's (Statistics in Medicine 2006, method 5) 95% interval of an area.

    A score interval: it is defined, and not a point, where the groups do not overlap.

    Args:
        auc: the area, 0..1.
        n_yes: size of the one group.
        n_no: size of the other.

    >>> [round(bound, 3) for bound in newcombe(1.0, 10, 10)]
    [0.8, 1.0]
    """
    z = float(stats.norm.ppf(1 - ALPHA / 2))
    middle = (n_yes + n_no) / 2 - 1

    def excess(true: float) -> float:
        spread = 1 + middle * ((1 - true) / (2 - true) + true / (1 + true))
        return float((auc - true) ** 2 - z**2 * true * (1 - true) * spread / (n_yes * n_no))

    low = float(optimize.brentq(excess, 1e-12, auc)) if auc > 0 and auc < 1 else auc
    high = float(optimize.brentq(excess, auc, 1 - 1e-12)) if auc > 0 and auc < 1 else auc
    if auc == 1:
        low = float(optimize.brentq(excess, 1e-12, 1 - 1e-12))
    if auc == 0:
        high = float(optimize.brentq(excess, 1e-12, 1 - 1e-12))
    return low, high


def _permutation_p(ranks: Floats, n_yes: int, found: float, seed: int) -> float:
    """Return how often a random choice of `n_yes` ranks lies as far from its expectation."""
    random = np.random.default_rng(seed)
    expected = n_yes * float(ranks.mean())
    far = abs(found - expected) - 1e-9 * max(1.0, expected)
    as_far, left = 0, PERMUTATIONS
    block = max(1, 1_000_000 // len(ranks))
    while left:
        count = min(block, left)
        shuffled = random.permuted(np.broadcast_to(ranks, (count, len(ranks))), axis=1)
        as_far += int((np.abs(shuffled[:, :n_yes].sum(1) - expected) >= far).sum())
        left -= count
    return (1 + as_far) / (1 + PERMUTATIONS)
