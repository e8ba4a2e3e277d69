"""From the estimates of single prompts to the recall and level of a fact."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from sixtyfold.core.levels import level_probabilities
from sixtyfold.stages.probe.sampling import ROULETTE, Estimate


class Recall(NamedTuple):
    """Recall of a fact with its nominal 95% interval, all in [0, 1]."""

    value: float
    low: float
    high: float


def recall_of(estimates: Sequence[Estimate], confidence: float = 0.95) -> Recall:
    """Return the mean hit probability over a fact's templates with an interval.

    A draw's estimate is f + (1 − f)·g: f, the least it can be, is known beforehand (the computed
    probability that the answer comes at once, or where roulette may end the draw, if that is
    less); only the remainder g is estimated, by values in [0, 1] whose variance is at most
    g(1 − g). The interval is Wilson's for the weighted mean of the remainders with its effective
    number of draws (Σw)²/Σw².
    """
    k = len(estimates)
    certain = np.array([min(each.first_prob or 0.0, 1.0 - ROULETTE) for each in estimates])
    means = np.array([np.mean(each.values) for each in estimates])
    draws = np.array([len(each.values) for each in estimates])
    weights = np.repeat((1.0 - certain) / draws, draws)
    value = float(means.mean())
    remainder = float(np.clip((means - certain).sum() / weights.sum(), 0.0, 1.0))
    effective = float(weights.sum() ** 2 / (weights**2).sum())
    low, high = wilson_bounds(remainder, effective, confidence)
    scale, offset = weights.sum() / k, certain.sum() / k
    return Recall(value, min(value, offset + scale * low), max(value, offset + scale * high))


def wilson_bounds(share: float, n: float, confidence: float) -> tuple[float, float]:
    """Return Wilson's interval of a share seen in n draws; n may be fractional.

    >>> [round(x, 3) for x in wilson_bounds(0.5, 10, 0.95)]
    [0.237, 0.763]
    """
    z = float(stats.norm.ppf(0.5 + confidence / 2))
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * float(np.sqrt(share * (1 - share) / n + z * z / (4 * n * n)))
    return max(0.0, centre - half), min(1.0, centre + half)


class Level(NamedTuple):
    """Most probable level under the papers' protocol, and the whole distribution."""

    level: int
    probability: float
    probabilities: list[float]


def level_from(estimates: Sequence[Estimate]) -> Level:
    """Return the level of a fact under K × 10 plain draws, from its per-template estimates."""
    found = level_probabilities([float(np.mean(each.values)) for each in estimates])
    best = int(found.argmax())
    return Level(best, float(found[best]), found.tolist())
