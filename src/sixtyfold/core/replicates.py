"""Differences between two ways of training, each repeated: over facts and over training sets.

Every replica answers the same facts, so a difference d[r, i] in {-1, 0, 1} varies with the fact and
with the training set. Both are samples, and an interval over facts alone is too short.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from sixtyfold.core.statistics import ALPHA


class Replicated(NamedTuple):
    """A mean difference of macro accuracies, in -1..1.

    error: its standard error over facts and replicas.
    freedom: degrees of freedom of the error (Satterthwaite).
    lower, upper: one-sided 95% bounds each, so that together they are a 90% interval.
    """

    value: float
    error: float
    freedom: float
    lower: float
    upper: float

    @property
    def p_above_zero(self) -> float:
        """One-sided p that the true difference is not above 0."""
        if self.error == 0:
            return float(self.value <= 0)
        return float(stats.t.sf(self.value / self.error, self.freedom))

    def two_sided(self) -> Interval:
        """Return the 95% interval and the p that the true difference is 0."""
        if self.error == 0:
            return Interval(self.value, self.value, float(self.value == 0))
        reach = float(stats.t.ppf(1 - ALPHA / 2, self.freedom)) * self.error
        p = 2 * float(stats.t.sf(abs(self.value) / self.error, self.freedom))
        return Interval(self.value - reach, self.value + reach, p)


class Interval(NamedTuple):
    """A 95% interval, not cut to the range of the value, and its two-sided p."""

    low: float
    high: float
    p: float

    def cut(self) -> Interval:
        """Return it within -1..1, where differences of accuracies lie."""
        return Interval(max(-1.0, self.low), min(1.0, self.high), self.p)


def replicated_difference(
    before_RN: NDArray[np.bool_], after_RN: NDArray[np.bool_], strata_N: Sequence[str]
) -> Replicated:
    """Return the mean over strata, replicas and facts of after − before.

    The error adds two variances: of the facts' means over replicas (by stratum, with the
    pseudo-observations of `paired_tests.stratified_difference`), and of the replicas' macros. Both
    hold the interaction of fact and replica, so it is counted twice, which errs on the wide side
    (Owen 2007, "The pigeonhole bootstrap", subtracts it and can become negative). Degrees of
    freedom: Satterthwaite. With one replica the bounds hold for this training set alone.

    Args:
        before_RN: hits of R replicas on N facts.
        after_RN: hits of the other way of training, same replicas (paired sets), same facts.
        strata_N: stratum (relation) of each fact.

    Raises:
        ValueError: shapes differ, or there is no fact.
    """
    if before_RN.shape != after_RN.shape or before_RN.shape[1] != len(strata_N) or not strata_N:
        raise ValueError("before, after and strata must have the same facts, at least one")
    d_RN = after_RN.astype(float) - before_RN.astype(float)
    replicas = len(d_RN)
    names, stratum_N = np.unique(np.asarray(strata_N), return_inverse=True)
    sizes_G = np.bincount(stratum_N).astype(float)
    weights_N = 1.0 / (len(names) * sizes_G[stratum_N])
    macros_R = d_RN @ weights_N
    facts = _over_facts(d_RN.mean(0), stratum_N, sizes_G)
    sets = float(macros_R.var(ddof=1)) / replicas if replicas > 1 else 0.0
    return _bounds(
        float(macros_R.mean()),
        [(facts, max(1.0, len(strata_N) - len(names))), (sets, max(1.0, replicas - 1.0))],
    )


def replicated_mean(values_RN: NDArray[np.float64]) -> Replicated:
    """Return the mean over replicas and facts of any measure, such as a difference of two drifts.

    The error adds the variances of the facts' means over replicas and of the replicas' means over
    facts, as in `replicated_difference`; there are no pseudo-observations, so few facts of a skewed
    measure give too short an interval. `lower` and `upper` are not cut.

    Args:
        values_RN: R replicas on N facts.

    Raises:
        ValueError: there is no fact.
    """
    replicas, facts = values_RN.shape
    if not facts:
        raise ValueError("a mean needs at least one fact")
    over_facts = float(values_RN.mean(0).var(ddof=1)) / facts if facts > 1 else 0.0
    over_sets = float(values_RN.mean(1).var(ddof=1)) / replicas if replicas > 1 else 0.0
    parts = [(over_facts, max(1.0, facts - 1.0)), (over_sets, max(1.0, replicas - 1.0))]
    return _bounds(float(values_RN.mean()), parts, widest=math.inf)


def _over_facts(
    means_N: NDArray[np.float64], stratum_N: NDArray[np.intp], sizes_G: NDArray[np.float64]
) -> float:
    """Return the variance of the macro over facts."""
    strata = len(sizes_G)
    padded_G = sizes_G + 2 / strata
    sums_G = np.bincount(stratum_N, means_N)
    squares_G = np.bincount(stratum_N, means_N**2) + 2 / strata
    spread_G = squares_G / padded_G - (sums_G / padded_G) ** 2
    return float((spread_G / padded_G).sum()) / strata**2


def _bounds(
    value: float, parts: Sequence[tuple[float, float]], *, widest: float = 1.0
) -> Replicated:
    variance = sum(part for part, _ in parts)
    if variance == 0:
        return Replicated(value, 0.0, 1.0, value, value)
    freedom = variance**2 / sum(part**2 / freedom for part, freedom in parts)
    error = float(np.sqrt(variance))
    reach = float(stats.t.ppf(1 - ALPHA, freedom)) * error
    return Replicated(
        value, error, float(freedom), max(-widest, value - reach), min(widest, value + reach)
    )
