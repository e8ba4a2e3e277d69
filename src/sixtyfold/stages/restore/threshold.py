"""Where to cut a ranking of all weights of a model, exactly, without holding or sorting them.

Two streaming passes: a histogram over the upper 16 bits of the scores finds the bucket of the cut,
one over the lower 16 bits in that bucket its exact value. Where weights tie on that value and only
some of them are wanted, a third counts them tensor by tensor. Ties go in tensor name order, then
flat index order. All cuts that are wanted are found in the same passes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from functools import partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sixtyfold.core.bit_histogram import (
    BUCKETS,
    Buckets,
    Counts,
    Masses,
    count_buckets,
    lower_half,
    sum_buckets,
    upper_half,
)
from sixtyfold.core.checkpoint_pair import Chunk, PairedTensor
from sixtyfold.core.errors import BadInput, Corrupted
from sixtyfold.core.float_formats import Floats, Keys, sortable_keys
from sixtyfold.core.threads import in_order
from sixtyfold.stages.restore.names import RuleName
from sixtyfold.stages.restore.rules import RULES
from sixtyfold.stages.restore.rules.rule import Spot

Mask = npt.NDArray[np.bool_]

_ABOVE_ALL = 0xFFFFFFFF  # no finite score has this key
_BATCH = 1 << 21  # weights one thread counts before it hands over


def share_count(percent: float, numel: int) -> int:
    """Return how many weights a percentage is: rounded to the nearest, halves to even.

    Raises:
        BadInput: it is none.

    >>> share_count(20, 1000), share_count(1, 49), share_count(7, 150), share_count(100, 7)
    (200, 0, 10, 7)
    """
    if not 0.0 <= percent <= 100.0:
        raise BadInput(f"a percentage of weights was given as {percent}; allowed is 0 to 100")
    return round(Fraction(str(percent)) * numel / 100)  # as written: 7% of 150 is 10.5, not more


class Ranking(NamedTuple):
    """All weights of some tensors, in the order a rule restores them."""

    tensors: Sequence[PairedTensor]
    """In name order."""
    rule: RuleName
    seed: int

    @property
    def numel(self) -> int:
        """Number of ranked weights."""
        return sum(tensor.numel for tensor in self.tensors)

    def keys(self, tensor: PairedTensor) -> Iterator[tuple[Chunk, Keys]]:
        """Go through one tensor with the sortable keys of its scores.

        Raises:
            Corrupted: a weight is not a finite number.
        """
        for start, stop in tensor.spans():
            try:
                yield self.read(tensor, start, stop)
            finally:  # also where the caller has seen enough
                tensor.release(start, stop)

    def read(self, tensor: PairedTensor, start: int, stop: int) -> tuple[Chunk, Keys]:
        """Return one of the tensor's spans with its keys; `release` it afterwards.

        Raises:
            Corrupted: a weight is not a finite number.
        """
        chunk = tensor.read(start, stop)
        update = chunk.update
        refuse_non_finite(tensor.name, update)
        spot = Spot(self.seed, tensor.name, start)
        return chunk, sortable_keys(RULES[self.rule](chunk.base, update, spot))


class Cut(NamedTuple):
    """The first weights of a ranking."""

    number: int
    """How many weights are before the cut."""
    key: int
    """Every weight with a larger key is before the cut."""
    ends: dict[str, int]
    """Per tensor: weights with exactly this key are before it up to this flat index."""

    def before(self, keys: Keys, tensor: str, start: int) -> Mask:
        """Return which weights of a run are before the cut.

        Args:
            keys: the run's keys, shape (n,).
            tensor: name of the tensor it is of.
            start: flat index of its first weight.
        """
        mask = keys > np.uint32(self.key)
        end = self.ends.get(tensor, 0) - start
        if end > 0:
            mask[:end] |= keys[:end] == np.uint32(self.key)
        return mask


class Aim(NamedTuple):
    """How much should lie before a cut: a number of weights, or a sum of squared updates."""

    number: int | None = None
    squares: float | None = None


def cut(ranking: Ranking, aims: Sequence[Aim]) -> list[Cut]:
    """Find the cut of every aim in the same passes.

    Args:
        ranking: what is ranked.
        aims: a `number` is met exactly; `squares` (of the float32 updates, summed in float64) as
            closely as one weight allows. More than there is means everything.

    Returns:
        one cut per aim, in the order of the aims; of two numbers the smaller cut is contained in
        the larger.

    Raises:
        Corrupted: a weight is not a finite number.
    """
    by_squares = any(aim.squares is not None for aim in aims)
    upper = _Level.empty()
    for level in in_order(partial(_upper, ranking, by_squares=by_squares), _batches(ranking)):
        upper.merge(level)
    firsts = [_find(upper, aim) for aim in aims]
    lower = {first.bucket: _Level.empty() for first in firsts if first is not None}
    count = partial(_lower, ranking, sorted(lower), by_squares=by_squares)
    for levels in in_order(count, _batches(ranking) if lower else ()):
        for bucket, level in levels.items():
            lower[bucket].merge(level)
    return _share_ties(ranking, [_exact(first, lower) for first in firsts])


class _Span(NamedTuple):
    tensor: PairedTensor
    start: int
    stop: int


def _batches(ranking: Ranking) -> Iterator[list[_Span]]:
    """Deal the ranked weights out to threads; the same batches whatever their number."""
    batch: list[_Span] = []
    size = 0
    for tensor in ranking.tensors:
        for start, stop in tensor.spans():
            batch.append(_Span(tensor, start, stop))
            size += stop - start
            if size >= _BATCH:
                yield batch
                batch, size = [], 0
    if batch:
        yield batch


def _read_batch(ranking: Ranking, batch: Iterable[_Span]) -> Iterator[tuple[_Span, Chunk, Keys]]:
    for span in batch:
        yield span, *ranking.read(*span)
        span.tensor.release(span.start, span.stop)


class _Level(NamedTuple):
    """Weights and their squared updates in the buckets of one histogram."""

    counts: Counts
    squares: Masses

    @classmethod
    def empty(cls) -> _Level:
        return cls(np.zeros(BUCKETS, np.int64), np.zeros(BUCKETS))

    def add(self, buckets: Buckets, update: Floats | None) -> None:
        self.counts[:] += count_buckets(buckets)
        if update is not None:
            self.squares[:] += sum_buckets(buckets, np.square(update, dtype=np.float64))

    def merge(self, other: _Level) -> None:
        self.counts[:] += other.counts
        self.squares[:] += other.squares


def _upper(ranking: Ranking, batch: list[_Span], *, by_squares: bool) -> _Level:
    """Count a batch by the upper halves of its keys."""
    level = _Level.empty()
    for _, chunk, keys in _read_batch(ranking, batch):
        level.add(upper_half(keys), chunk.update if by_squares else None)
    return level


def _lower(
    ranking: Ranking, wanted: list[int], batch: list[_Span], *, by_squares: bool
) -> dict[int, _Level]:
    """Count a batch by the lower halves of the keys that fall in one of the wanted buckets."""
    levels = {bucket: _Level.empty() for bucket in wanted}
    for _, chunk, keys in _read_batch(ranking, batch):
        uppers, lowers = upper_half(keys), lower_half(keys)
        update = chunk.update if by_squares else None
        for bucket, level in levels.items():
            inside = np.flatnonzero(uppers == bucket)
            if inside.size:
                level.add(lowers[inside], None if update is None else update[inside])
    return levels


class _Found(NamedTuple):
    """The bucket in which an aim is reached."""

    bucket: int
    before: int
    """Weights in the buckets above."""
    rest: Aim
    """What is still to be found inside the bucket."""


def _find(level: _Level, aim: Aim) -> _Found | None:
    """Return where an aim is reached counting from the highest bucket; None for an empty aim."""
    amounts = level.squares if aim.number is None else level.counts
    reached = np.cumsum(amounts[::-1])
    wanted = min((aim.squares or 0.0) if aim.number is None else aim.number, reached[-1].item())
    if wanted <= 0:
        return None
    position = int(np.searchsorted(reached, wanted, side="left"))
    left = wanted - (reached[position - 1].item() if position else 0)
    before = int(level.counts[::-1][:position].sum())
    rest = Aim(squares=left) if aim.number is None else Aim(number=int(left))
    return _Found(BUCKETS - 1 - position, before, rest)


class _Tied(NamedTuple):
    """An exact key and how many of the weights that have it are before the cut."""

    number: int
    key: int
    taken: int
    ties: int


def _exact(first: _Found | None, lower: dict[int, _Level]) -> _Tied:
    """Find the exact key inside the bucket of a cut."""
    if first is None:
        return _Tied(0, _ABOVE_ALL, 0, 0)
    level = lower[first.bucket]
    second = _find(level, first.rest)
    if second is None:
        return _Tied(first.before, (first.bucket << 16) | 0xFFFF, 0, 0)
    ties = int(level.counts[second.bucket])
    if second.rest.number is not None:
        taken = second.rest.number
    else:  # tied weights may differ in their updates: take their mean for granted
        share = float(second.rest.squares or 0.0) / float(level.squares[second.bucket])
        taken = round(share * ties)
    key = (first.bucket << 16) | second.bucket
    return _Tied(first.before + second.before + taken, key, taken, ties)


def _share_ties(ranking: Ranking, found: list[_Tied]) -> list[Cut]:
    """Turn keys into cuts; ties of which only some are wanted go by tensor name, then index."""
    partly = sorted({tied.key for tied in found if 0 < tied.taken < tied.ties})
    holders: dict[int, dict[str, int]] = {key: {} for key in partly}
    for counted in in_order(
        partial(_count_ties, ranking, partly), _batches(ranking) if partly else ()
    ):
        for name, key, number in counted:
            holders[key][name] = holders[key].get(name, 0) + number
    cuts = []
    for tied in found:
        if tied.taken == tied.ties:  # all of them: cut just below the key instead
            cuts.append(Cut(tied.number, tied.key - 1 if tied.ties else tied.key, {}))
        else:
            ends = _ends(ranking, tied, holders.get(tied.key, {}))
            cuts.append(Cut(tied.number, tied.key, ends))
    return cuts


def _count_ties(
    ranking: Ranking, partly: list[int], batch: list[_Span]
) -> list[tuple[str, int, int]]:
    """Count the weights of a batch that have one of some keys: tensor, key, number."""
    return [
        (span.tensor.name, key, int(np.count_nonzero(keys == np.uint32(key))))
        for span, _, keys in _read_batch(ranking, batch)
        for key in partly
    ]


def _ends(ranking: Ranking, tied: _Tied, holders: dict[str, int]) -> dict[str, int]:
    """Return up to which flat index of every tensor its ties are before a cut."""
    left = tied.taken
    ends = {}
    for tensor in ranking.tensors:
        number = holders.get(tensor.name, 0)
        if 0 < number <= left:
            ends[tensor.name] = tensor.numel
        elif 0 < left < number:
            ends[tensor.name] = _index_of_tie(ranking, tensor, tied.key, left) + 1
        left -= min(left, number)
    return ends


def _index_of_tie(ranking: Ranking, tensor: PairedTensor, key: int, number: int) -> int:
    """Return the flat index of a tensor's n-th weight with a key, counted from 1."""
    for chunk, keys in ranking.keys(tensor):
        found = np.flatnonzero(keys == np.uint32(key))
        if number <= found.size:
            return chunk.start + int(found[number - 1])
        number -= found.size
    raise Corrupted(f"tensor '{tensor.name}' changed while it was read; give the command again")


def refuse_non_finite(name: str, update: Floats) -> None:
    """Raise `Corrupted` where a run of updates of a tensor holds anything but finite numbers."""
    with np.errstate(all="ignore"):
        total = np.add.reduce(update)  # finite unless a weight is not, or the sum overflows
    if not np.isfinite(total) and not np.isfinite(update).all():
        raise Corrupted(
            f"tensor '{name}' holds NaN or infinite weights in one of the models; "
            "a checkpoint that training broke cannot be repaired weight by weight"
        )
