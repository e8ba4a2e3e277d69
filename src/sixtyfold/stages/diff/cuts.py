"""Exact tops of several rankings at once, found in two passes and never sorted.

Scores are non-negative float32, whose bits order like their values: one histogram of the upper
halves finds the bucket in which a top ends, one of the lower halves inside it the exact score.
Equal scores go to the top in the order in which they come.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sixtyfold.core.bit_histogram import BUCKETS, Counts, count_buckets, upper_half
from sixtyfold.core.float_formats import Floats, Keys
from sixtyfold.stages.diff.profile import NON_NEGATIVE

Classes = npt.NDArray[np.uint8]


class Cut(NamedTuple):
    """Where a top ends."""

    key: int
    """Bits of the smallest score in it; every larger score is in it."""
    ties: int
    """How many of the scores with exactly these bits are in it: the first ones."""


NOTHING = Cut(0xFFFFFFFF, 0)


def find_cuts(
    scores: Callable[[], Iterable[Sequence[Floats]]], wanted: Sequence[int]
) -> list[list[Cut]]:
    """Find where tops of given sizes end.

    Args:
        scores: starts a pass; gives, chunk by chunk, the scores of every ranking (≥ 0, finite,
            not -0.0).
        wanted: sizes of the tops, each at most the number of scores.

    Returns:
        per ranking one cut per size.
    """
    upper: list[Counts] = []
    for chunk in scores():
        upper = upper or [np.zeros(NON_NEGATIVE, np.int64) for _ in chunk]
        for counts, values in zip(upper, chunk, strict=True):
            counts[:] += count_buckets(upper_half(_keys(values)), NON_NEGATIVE)
    ends = [[_end(counts, number) for number in wanted] for counts in upper]
    lower = [{bucket: np.zeros(BUCKETS, np.int64) for bucket, _ in each} for each in ends]
    for chunk in scores():
        for inside, values in zip(lower, chunk, strict=True):
            _count_lower(inside, _keys(values))
    return [
        [_cut(inside, bucket, rest) for bucket, rest in each]
        for each, inside in zip(ends, lower, strict=True)
    ]


class Sorter:
    """Says for the scores of one ranking, chunk by chunk in order, in which tops they are.

    Args:
        cuts: of one ranking, sizes ascending.
    """

    def __init__(self, cuts: Sequence[Cut]) -> None:
        self._cuts = cuts
        self._ties = [cut.ties for cut in cuts]

    @property
    def tops(self) -> int:
        """Number of tops."""
        return len(self._cuts)

    def classes(self, scores: Floats) -> Classes:
        """Return per score the number of the smallest top it is in; len(cuts) for none."""
        keys = _keys(scores)
        found = np.zeros(keys.size, np.uint8)
        for number, cut in enumerate(self._cuts):
            found += keys <= np.uint32(cut.key)
            if self._ties[number]:
                tied = np.flatnonzero(keys == np.uint32(cut.key))[: self._ties[number]]
                found[tied] -= 1
                self._ties[number] -= tied.size
        return found


def _keys(scores: Floats) -> Keys:
    return np.ascontiguousarray(scores).view(np.uint32)


def _end(counts: Counts, number: int) -> tuple[int, int]:
    """Return the bucket in which a top ends and how many of the bucket belong to it."""
    if number <= 0:
        return NON_NEGATIVE - 1, 0
    reached = np.cumsum(counts[::-1])
    position = int(np.searchsorted(reached, number, side="left"))
    bucket = counts.size - 1 - position
    return bucket, int(number - (reached[position] - counts[bucket]))


def _count_lower(inside: dict[int, Counts], keys: Keys) -> None:
    halves = keys.view("<u2")[1::2]
    wanted = np.zeros(BUCKETS, np.bool_)
    wanted[list(inside)] = True
    near = keys[np.flatnonzero(wanted[halves])]
    for bucket, counts in inside.items():
        chosen = near[near >> np.uint32(16) == bucket]
        counts[:] += count_buckets((chosen & np.uint32(0xFFFF)).astype(np.intp))


def _cut(inside: dict[int, Counts], bucket: int, rest: int) -> Cut:
    if rest <= 0:
        return NOTHING
    low, ties = _end(inside[bucket], rest)
    return Cut((bucket << 16) | low, ties)
