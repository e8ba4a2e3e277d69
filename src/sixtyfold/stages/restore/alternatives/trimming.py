"""Drop the largest and the smallest updates: what breadcrumbs and TIES share.

Updates are in the order of |update|, largest first, over the whole model or within each tensor;
ties in tensor name order, then flat index order. Of n weights round((largest + smallest) · n) go
back to the base, the first round(largest · n) and the last ones; the others stay tuned. Both bit
for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Literal, NamedTuple

import numpy as np

from sixtyfold.core.bit_histogram import (
    BUCKETS,
    Counts,
    Masses,
    count_buckets,
    sum_buckets,
    upper_half,
)
from sixtyfold.core.checkpoint_pair import PairedTensor
from sixtyfold.core.float_formats import Keys
from sixtyfold.core.tensor_names import Region
from sixtyfold.core.threads import in_order
from sixtyfold.stages.restore.alternatives.family import Update, solve
from sixtyfold.stages.restore.plans import Plan, Repaired, masked
from sixtyfold.stages.restore.threshold import Aim, Cut, Mask, Ranking, cut

Scope = Literal["model", "tensor"]


class Shares(NamedTuple):
    """Shares of the weights that are dropped, each in 0..1, together at most 1."""

    largest: float
    smallest: float

    def counts(self, numel: int) -> tuple[int, int]:
        """Return how many of `numel` weights come before those kept, and how many before the end.

        >>> Shares(0.1, 0.5).counts(10)
        (1, 5)
        """
        dropped = min(numel, round((self.largest + self.smallest) * numel))
        first = min(dropped, round(self.largest * numel))
        return first, numel - (dropped - first)


class Kept(NamedTuple):
    """The part of one ranking between two cuts."""

    ranking: Ranking
    start: Cut
    stop: Cut


class TrimmedPlan(NamedTuple):
    """Keep the updates between two cuts of the ranking by |update|, put the others back."""

    region: Region
    shares: Shares
    kept: Mapping[str, Kept]
    """Per tensor: its own ranking, or the whole model's."""

    @property
    def setting(self) -> str:
        """What is dropped."""
        parts = {"largest": self.shares.largest, "smallest": self.shares.smallest}
        named = [f"{name} {100 * share:.3g}%" for name, share in parts.items() if share]
        return f"{' and '.join(named) or 'nothing'} put back"

    def ranking_of(self, tensor: PairedTensor) -> Ranking:
        """Return the ranking of the tensor's group."""
        return self.kept[tensor.name].ranking

    def dropped(self, keys: Keys, tensor: str, start: int) -> Mask:
        """Return which weights of a run go back; see `MaskedPlan`."""
        _, first, last = self.kept[tensor]
        return first.before(keys, tensor, start) | ~last.before(keys, tensor, start)

    def chunks(self, tensor: PairedTensor) -> Iterator[Repaired]:
        """Go through the repaired weights of a tensor of the region."""
        return masked(self, tensor)


def trimmed(
    update: Update, scope: Scope, dropped: Callable[[float], Shares], shares: Sequence[float]
) -> list[Plan]:
    """Return the trimmings that leave given shares of the norm.

    The strength is found on histograms of |update| with buckets less than one percent wide, the
    weights then exactly.

    Args:
        update: what is trimmed.
        scope: what is ranked together.
        dropped: largest and smallest share dropped at a strength in 0..1, both growing.
        shares: of the norm that shall remain.
    """
    groups = _groups(update, scope)
    curves = [_Curve.of(tensors) for tensors in groups]

    def left(strength: float) -> float:
        return update.share_left(curve.remaining(dropped(strength)) for curve in curves)

    wanted = [dropped(solve(left, share, tuned=0.0, base=1.0)) for share in shares]
    kept: list[dict[str, Kept]] = [{} for _ in wanted]
    cuts = in_order(partial(_cuts, seed=update.seed, wanted=wanted), groups)
    for tensors, cut_of_each in zip(groups, cuts, strict=True):
        for found, each in zip(cut_of_each, kept, strict=True):
            each.update({tensor.name: found for tensor in tensors})
    return [
        TrimmedPlan(update.region, each, found) for each, found in zip(wanted, kept, strict=True)
    ]


def _groups(update: Update, scope: Scope) -> list[Sequence[PairedTensor]]:
    if scope == "model":
        return [update.tensors]
    return [[tensor] for tensor in update.tensors]


def _cuts(tensors: Sequence[PairedTensor], seed: int, wanted: Sequence[Shares]) -> list[Kept]:
    """Cut one ranking at both ends for every strength, in the same passes."""
    ranking = Ranking(tensors, "absolute", seed)
    numbers = [number for each in wanted for number in each.counts(ranking.numel)]
    found = cut(ranking, [Aim(number=number) for number in numbers])
    ends = zip(found[::2], found[1::2], strict=True)
    return [Kept(ranking, start, stop) for start, stop in ends]


def _histograms(tensor: PairedTensor) -> tuple[Counts, Masses]:
    """Return the number and Σ update² of one tensor's updates by the bucket of |update|."""
    counts, squares = np.zeros(BUCKETS, np.int64), np.zeros(BUCKETS)
    for chunk, keys in Ranking([tensor], "absolute", 0).keys(tensor):
        buckets = upper_half(keys)
        counts += count_buckets(buckets)
        squares += sum_buckets(buckets, np.square(chunk.update, dtype=np.float64))
    return counts, squares


class _Curve(NamedTuple):
    """Σ update² of the n largest updates, as a polygon over n."""

    counts: Masses
    squares: Masses

    @classmethod
    def of(cls, tensors: Sequence[PairedTensor]) -> _Curve:
        counts, squares = np.zeros(BUCKETS), np.zeros(BUCKETS)
        for more_counts, more_squares in in_order(_histograms, tensors):
            counts += more_counts
            squares += more_squares
        filled = np.flatnonzero(counts)[::-1]
        start = np.zeros(1)
        return cls(
            np.concatenate([start, counts[filled].cumsum()]),
            np.concatenate([start, squares[filled].cumsum()]),
        )

    def remaining(self, shares: Shares) -> float:
        """Return Σ update² of the updates that are kept."""
        numel = self.counts[-1]
        ends = np.array([shares.largest * numel, (1.0 - shares.smallest) * numel])
        start, stop = np.interp(ends, self.counts, self.squares)
        return max(0.0, float(stop - start))
