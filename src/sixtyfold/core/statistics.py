"""Intervals for shares (one share, a macro over strata) and for the mean of a sample.

Knows counts only (hits, totals); what is counted is `accuracy.py`'s business, differences between
two models are `paired_tests.py`'s. All intervals are two-sided and nominally 95%. SciPy and
statsmodels are imported by the functions: they load longer than most commands run.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

ALPHA = 0.05


class Estimate(NamedTuple):
    """A share in 0..1 with its 95% interval and the number of facts behind it."""

    value: float
    low: float
    high: float
    n: int

    def rounded(self, digits: int = 6) -> dict[str, float | int]:
        """Return the form that JSON files carry.

        >>> Estimate(1 / 3, 0.1, 0.9, 3).rounded(2)
        {'value': 0.33, 'low': 0.1, 'high': 0.9, 'n': 3}
        """
        value, low, high = (round(float(number), digits) for number in self[:3])
        return {"value": value, "low": low, "high": high, "n": self.n}


def wilson(hits: int, total: int) -> Estimate | None:
    """Return a share with its Wilson score interval.

    Args:
        hits: number of successes, 0..total.
        total: number of facts.

    Returns:
        The estimate, or None where there is no fact.

    >>> wilson(0, 20).rounded(3)
    {'value': 0.0, 'low': 0.0, 'high': 0.161, 'n': 20}
    """
    if total == 0:
        return None
    from statsmodels.stats.proportion import proportion_confint

    low, high = proportion_confint(hits, total, alpha=ALPHA, method="wilson")
    return _within(hits / total, float(low), float(high), total)


def macro(hits: Sequence[int], totals: Sequence[int], least: int = 1) -> Estimate | None:
    """Return the plain mean of the strata's shares, for *these* strata.

    The interval is Wilson's with the effective number of facts m = q(1 − q) / v (Dean & Pagano
    2015 for surveys): v = Σ p̃_g(1 − p̃_g) / n_g / G² is the stratified variance, q the mean of the
    p̃_g. The smoothed shares p̃_g = (h_g + 1/G) / (n_g + 2/G) are used for m alone, so the value is
    not shrunk; without them a stratum of all hits or none would count as certain. As v is
    estimated, t takes the normal quantile's place, with Satterthwaite's degrees of freedom
    (Σ v_g)² / Σ (v_g² / (n_g − 1)): few small strata may make up most of v. The interval stays
    inside 0..1 and with a single stratum it is Wilson's. Simulated against a normal interval (91
    to 100%) and Wilson limits added up in squares (88 to 98%), it held 93 to 99%, strata of 2 to
    35 facts included (`benchmarks/intervals_of_comparisons.py`).

    Args:
        hits: successes per stratum.
        totals: facts per stratum.
        least: a stratum with fewer facts makes the macro undefined.

    Returns:
        The estimate (n: facts over all strata), or None where a stratum is too small or there is
        none.

    >>> macro([5, 10], [10, 10]).value
    0.75
    >>> macro([5, 10], [10, 10], least=20) is None
    True
    """
    if len(totals) == 0 or min(totals) < max(1, least):
        return None
    from scipy import special

    count, total = np.asarray(hits, dtype=float), np.asarray(totals, dtype=float)
    value = float((count / total).mean())
    strata = len(total)
    if strata == 1:
        return wilson(int(count[0]), int(total[0]))
    smooth = (count + 1 / strata) / (total + 2 / strata)
    each = smooth * (1 - smooth) / total
    centre = float(smooth.mean())
    effective = centre * (1 - centre) / (float(each.sum()) / strata**2)
    freedom = float(each.sum() ** 2 / np.sum(each**2 / np.maximum(total - 1, 1)))
    low, high = _score_interval(value, effective, float(special.stdtrit(freedom, 1 - ALPHA / 2)))
    return _within(value, low, high, int(total.sum()))


def _score_interval(share: float, size: float, quantile: float) -> tuple[float, float]:
    """Return Wilson's interval with another quantile than the normal one."""
    weight = quantile**2 / size
    middle = (share + weight / 2) / (1 + weight)
    half = np.sqrt(weight * (share * (1 - share) + weight / 4)) / (1 + weight)
    return middle - float(half), middle + float(half)


def mean_and_half_width(values: np.ndarray) -> tuple[float, float]:
    """Return the mean of a sample and the half width of its t interval.

    Args:
        values: shape (G,), G ≥ 2.

    >>> mean_and_half_width(np.array([1.0, 3.0]))[0]
    2.0
    """
    from scipy import stats

    half = stats.t.ppf(1 - ALPHA / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean()), float(half)


def _within(value: float, low: float, high: float, n: int) -> Estimate:
    """Keep the interval inside 0..1 and around its value, whatever rounding did."""
    return Estimate(value, max(0.0, min(low, value)), min(1.0, max(high, value)), n)
