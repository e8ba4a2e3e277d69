"""Differences between two models that answered the same facts.

Every fact contributes d = after − before in {−1, 0, 1}, so a stratum is told by three counts:
facts gained (d = 1), lost (d = −1) and all. Knows counts only; joining two answer tables is the
compare stage's business.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from sixtyfold.core.statistics import ALPHA, Estimate, mean_and_half_width

POWER = 0.8


class Difference(NamedTuple):
    """after − before, in -1..1, with its 95% interval, p and what could have been seen.

    `detectable` is the smallest true difference that a two-sided 5% test on this many facts, with
    this much disagreement, finds with 80% power.
    """

    value: float
    low: float
    high: float
    n: int
    p: float
    detectable: float

    @property
    def estimate(self) -> Estimate:
        """The difference without its test."""
        return Estimate(*self[:4])

    def rounded(self, digits: int = 6) -> dict[str, float | int]:
        """Return the form that JSON files carry; p keeps its significant digits."""
        return {
            **self.estimate.rounded(digits),
            "p": float(f"{self.p:.6g}"),
            "detectable": round(self.detectable, digits),
        }


def mcnemar_exact(gained: int, lost: int) -> float:
    """Return the two-sided exact p that gains and losses are equally likely.

    >>> round(mcnemar_exact(8, 1), 4)  # 2 × (1 + 9) / 2⁹
    0.0391
    >>> mcnemar_exact(0, 0)
    1.0
    """
    if gained + lost == 0:
        return 1.0
    return float(mcnemar([[0, gained], [lost, 0]], exact=True).pvalue)


def micro_difference(gained: int, lost: int, total: int) -> Difference | None:
    """Return the difference of two shares over the same facts, with the exact McNemar p.

    The interval is `stratified_difference`'s with one stratum; the exact p is a little more
    careful, so near 5% an interval may exclude 0 where p does not fall below.

    >>> micro_difference(30, 10, 100).value
    0.2
    """
    difference = stratified_difference([gained], [lost], [total])
    return difference and difference._replace(p=mcnemar_exact(gained, lost))


def stratified_difference(
    gained: Sequence[int], lost: Sequence[int], totals: Sequence[int]
) -> Difference | None:
    """Return the mean over strata of the paired differences, for *these* strata.

    Interval and test are normal and share one centre and one standard error, so they agree. With
    m = n_g + 2/G, b = (gained + 1/G) / m and c = (lost + 1/G) / m the centre is the mean of b − c
    and the variance Σ (b + c − (b − c)²) / m / G²: the adjustment of Bonett & Price (2012) for
    paired shares, shared out over strata as Price & Bonett (2004) do. The value itself is not
    shrunk. Without the adjustment strata where nothing changed would count as certain; with it
    simulated intervals held 94 to 97%.

    Args:
        gained: facts per stratum answered only after.
        lost: facts per stratum answered only before.
        totals: facts per stratum.

    Returns:
        The difference, or None where a stratum is empty or there is none.

    >>> stratified_difference([2, 0], [0, 0], [10, 10]).value
    0.1
    """
    if len(totals) == 0 or min(totals) < 1:
        return None
    up, down, total = (np.asarray(counts, dtype=float) for counts in (gained, lost, totals))
    strata = len(total)
    value = float(np.mean((up - down) / total))
    size = total + 2 / strata
    more, fewer = (up + 1 / strata) / size, (down + 1 / strata) / size
    centre = float(np.mean(more - fewer))
    variance = float(np.sum((more + fewer - (more - fewer) ** 2) / size)) / strata**2
    error = float(np.sqrt(variance))
    half = float(stats.norm.ppf(1 - ALPHA / 2)) * error
    return Difference(
        value,
        max(-1.0, min(value, centre - half)),
        min(1.0, max(value, centre + half)),
        int(total.sum()),
        float(2 * stats.norm.sf(abs(centre) / error)),
        _detectable(error),
    )


def difference_of_new(
    gained: Sequence[int], lost: Sequence[int], totals: Sequence[int]
) -> Difference | None:
    """Return the mean over strata of the paired differences, as a guess at *new* strata.

    t with G − 1 degrees of freedom over the strata's differences.

    Returns:
        The difference, or None with fewer than two strata or an empty one. Where all strata have
        the same difference the interval is that point and p is 1 for no difference, else 0.

    >>> difference_of_new([1, 2, 3], [0, 0, 0], [10, 10, 10]).rounded(3)["p"]
    0.0741799
    """
    if len(totals) < 2 or min(totals) < 1:
        return None
    up, down, total = (np.asarray(counts, dtype=float) for counts in (gained, lost, totals))
    shares = (up - down) / total
    value, half = mean_and_half_width(shares)
    freedom = len(shares) - 1
    error = half / float(stats.t.ppf(1 - ALPHA / 2, freedom))
    if error > 0:
        p = float(2 * stats.t.sf(abs(value) / error, freedom))
    else:
        p = 1.0 if value == 0 else 0.0
    reach = float(stats.t.ppf(1 - ALPHA / 2, freedom)) + float(stats.t.ppf(POWER, freedom))
    low, high = max(-1.0, value - half), min(1.0, value + half)
    return Difference(value, low, high, int(total.sum()), p, reach * error)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p values of one family, adjusted after Holm (1979), in the given order.

    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    if len(p_values) == 0:
        return []
    return [float(p) for p in multipletests(p_values, alpha=ALPHA, method="holm")[1]]


def _detectable(error: float) -> float:
    return (float(stats.norm.ppf(1 - ALPHA / 2)) + float(stats.norm.ppf(POWER))) * error
