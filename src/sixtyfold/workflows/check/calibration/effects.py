"""How much accuracy follows from what is in a training set: slopes, left-out errors, intervals.

Accuracy of a set is compared with the mean of the other sets of its block (one study, model, recipe
and size), so whatever a model, a fact set or a size does to all sets alike drops out:

    departure(y) ≈ slopes · departure(x),   departure(v) = v − mean of v over the block's other sets

with x the shares of facts of two classes of levels. A constant says 0: one set is as good as the
other. Every error here is of sets, or of models, that the slopes were not fitted on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

LEVEL = 0.95


class Sets(NamedTuple):
    """Training sets; n of them.

    shares: (n, 2), of facts of two of the three classes, 0..1.
    outcomes: (n,), 0..1.
    blocks: (n,), names; sets of one block differ in composition alone.
    groups: (n,), size and levels.
    models: (n,), names.
    seeds: (n,) of arrays, outcomes of a set's single trainings less their mean.
    """

    shares: np.ndarray
    outcomes: np.ndarray
    blocks: np.ndarray
    groups: np.ndarray
    models: np.ndarray
    seeds: np.ndarray

    def where(self, kept: np.ndarray) -> Sets:
        """Return the sets for which `kept` (n,) is true."""
        return Sets(*(each[kept] for each in self))


class LeftOut(NamedTuple):
    """Sets as slopes fitted without them predict them; n sets.

    folds: (n,), what was left out together.
    actual: (n,), departures of the outcome.
    predicted: (n,).
    slopes: fold to the slopes (2,) fitted without it.
    """

    folds: np.ndarray
    actual: np.ndarray
    predicted: np.ndarray
    slopes: dict[str, np.ndarray]

    @property
    def residuals(self) -> np.ndarray:
        """Distances of what was predicted, (n,)."""
        return np.asarray(np.abs(self.actual - self.predicted))


class Errors(NamedTuple):
    """Mean absolute errors on what was left out, and how much smaller than a constant's.

    gain: mean over the folds of a constant's error less the slopes' error.
    low: what the gain is above with 95% certainty, by the t distribution over the folds; None for
        a single fold.
    """

    folds: int
    sets: int
    error: float
    constant: float
    gain: float
    low: float | None


def comparable(sets: Sets) -> Sets:
    """Return the sets that have others in their block."""
    names, counts = np.unique(sets.blocks, return_counts=True)
    return sets.where(np.isin(sets.blocks, names[counts > 1]))


def arrays(rows: Sequence[np.ndarray]) -> np.ndarray:
    """Return arrays of any lengths as one array of arrays, (n,)."""
    found = np.empty(len(rows), dtype=object)
    for at, row in enumerate(rows):
        found[at] = row
    return found


def slopes_of(sets: Sets) -> np.ndarray:
    """Return the least-squares slopes (2,) within blocks; of several solutions the smallest."""
    x, y = sets.shares.astype(float).copy(), sets.outcomes.astype(float).copy()
    for block in np.unique(sets.blocks):
        inside = sets.blocks == block
        x[inside] -= x[inside].mean(axis=0)
        y[inside] -= y[inside].mean()
    return np.asarray(np.linalg.lstsq(x, y, rcond=None)[0])


def departures(sets: Sets, values: np.ndarray) -> np.ndarray:
    """Return values less their mean over the sets of the same block and other groups.

    Args:
        sets: every one with another group in its block.
        values: (n,) or (n, k).
    """
    others = (sets.blocks[:, None] == sets.blocks) & (sets.groups[:, None] != sets.groups)
    weights = others / others.sum(axis=1, keepdims=True)
    return np.asarray(values - weights @ values)


def left_out(sets: Sets, folds: np.ndarray, shares: np.ndarray | None = None) -> LeftOut:
    """Predict every fold by slopes fitted without it.

    Args:
        sets: comparable ones, of two folds or more.
        folds: (n,), what is left out together.
        shares: (n, 2), what stands for the shares of what is predicted (never of what is fitted).
    """
    moved = departures(sets, sets.shares if shares is None else shares)
    slopes = {str(fold): slopes_of(sets.where(folds != fold)) for fold in np.unique(folds)}
    predicted = np.array([moved[at] @ slopes[str(fold)] for at, fold in enumerate(folds)])
    return LeftOut(folds, departures(sets, sets.outcomes), predicted, slopes)


def single(found: LeftOut, sets: Sets) -> LeftOut:
    """Return the single trainings of left-out sets, one after the other.

    Args:
        found: what was left out, means over seeds.
        sets: the same sets.
    """
    counts = [len(each) for each in sets.seeds]
    return LeftOut(
        np.repeat(found.folds, counts),
        np.repeat(found.actual, counts) + np.concatenate(sets.seeds),
        np.repeat(found.predicted, counts),
        found.slopes,
    )


def errors_of(found: LeftOut) -> Errors:
    """Return the errors of left-out sets; folds count alike in the gain."""
    constant, own = np.abs(found.actual), found.residuals
    names = np.unique(found.folds)
    gains = np.array([(constant - own)[found.folds == fold].mean() for fold in names])
    return Errors(
        len(gains), len(own), float(own.mean()), float(constant.mean()),
        float(gains.mean()), _lower_bound(gains) if len(gains) > 1 else None,
    )  # fmt: skip


def _lower_bound(values: np.ndarray) -> float:
    """Return the one-sided 95% bound of a mean, by the t distribution."""
    from scipy import stats

    error = values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean() - stats.t.ppf(LEVEL, len(values) - 1) * error)


def interval(found: LeftOut, moved: np.ndarray, level: float = LEVEL) -> tuple[float, float]:
    """Return an interval for the outcome of a new training: CV+, its folds what was left out.

    Barber, Candès, Ramdas and Tibshirani 2021, "Predictive inference with the jackknife+", §3: the
    prediction of every fold's slopes, less and plus every residual of that fold, cut at the ends.
    It covers `level` where the new one is like those left out; how often it did is counted.

    Args:
        found: trainings left out, n of them.
        moved: (2,), departure of the new set's shares.
        level: share of new trainings to be covered.
    """
    centres = np.array([moved @ found.slopes[str(fold)] for fold in found.folds])
    lows, highs = np.sort(centres - found.residuals), np.sort(centres + found.residuals)
    cut = int(np.floor((1 - level) * (len(lows) + 1)))
    at = max(cut, 1) - 1  # too few sets for this level: the widest
    return float(lows[at]), float(highs[len(highs) - 1 - at])


def covered(sets: Sets, shares: np.ndarray | None = None) -> np.ndarray:
    """Return how many trainings of each set, (n,), the interval made without its model holds.

    Args:
        sets: comparable ones, of three models or more.
        shares: (n, 2), what stands for the shares of what is predicted.
    """
    actual = departures(sets, sets.outcomes)
    moved = departures(sets, sets.shares if shares is None else shares)
    held = np.zeros(len(actual), dtype=int)
    for model in np.unique(sets.models):
        rest = sets.where(sets.models != model)
        found = single(left_out(rest, rest.models), rest)
        for at in np.flatnonzero(sets.models == model):
            low, high = interval(found, moved[at])
            trainings = actual[at] + sets.seeds[at]
            held[at] = ((low <= trainings) & (trainings <= high)).sum()
    return held
