"""From the estimates of single prompts to the recall and level of a fact."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
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
    g(1 − g). The interval is Wilson's for the weighted mean of the remainders, with as many draws
    as its weights are worth (`effective_draws`).
    """
    k = len(estimates)
    certain = np.array([min(each.first_prob or 0.0, 1.0 - ROULETTE) for each in estimates])
    draws = np.array([len(each.values) for each in estimates])
    values = np.concatenate([each.values for each in estimates])
    rest = 1.0 - certain
    weights = np.repeat(rest / draws, draws)
    shares = np.clip((values - np.repeat(certain, draws)) / np.repeat(rest, draws), 0.0, 1.0)
    value = float(np.mean([np.mean(each.values) for each in estimates]))
    remainder = float((weights * shares).sum() / weights.sum())
    n_low, n_high = effective_draws(weights, shares)
    low = wilson_bounds(remainder, n_low, confidence)[0]
    high = wilson_bounds(remainder, n_high, confidence)[1]
    scale, offset = weights.sum() / k, certain.sum() / k
    return Recall(value, min(value, offset + scale * low), max(value, offset + scale * high))


def effective_draws(
    weights: NDArray[np.float64], shares: NDArray[np.float64]
) -> tuple[float, float]:
    """Return how many equal draws a weighted mean is worth: for its lower and its upper bound.

    A few hits of large weight are worth fewer draws than all weights together suggest. As in the
    interval of Fay and Feuer (Statistics in Medicine 16, 1997) for weighted counts, the weights of
    what was seen decide: of the hits for the lower bound, and with one more of the largest weight
    for the upper one. Misses are counted likewise, and the smaller number is taken.

    Args:
        weights: positive, one per draw.
        shares: what each draw says, in [0, 1].

    >>> effective_draws(np.ones(20), np.arange(20) % 2.0)
    (20.0, 20.0)
    """
    whole, largest = float(weights.sum()), float(weights.max())
    hits, misses = (
        (float((weights * each).sum()), float((weights**2 * each).sum()))
        for each in (shares, 1.0 - shares)
    )

    def worth(counted: tuple[float, float], more: float) -> float:
        first, second = counted[0] + more, counted[1] + more**2
        return whole * first / second if second > 0 else float(len(weights))

    low = min(worth(hits, 0.0), worth(misses, largest))
    high = min(worth(misses, 0.0), worth(hits, largest))
    return low, high


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
