"""Where to cut a ranking of all weights of a model, exactly, without holding or sorting them.

Three streaming passes: a histogram over the upper 16 bits of the scores finds the bucket of the
cut, one over the lower 16 bits in that bucket its exact value, and where weights tie on that value
a last one counts them tensor by tensor. Ties go in tensor name order, then flat index order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from sixtyfold.core.bit_histogram import (
    BUCKETS,
    Buckets,
    Counts,
    Masses,
    count_buckets,
    sum_buckets,
    upper_half,
)
from sixtyfold.core.checkpoint_pair import Chunk, PairedTensor
from sixtyfold.core.errors import Corrupted
from sixtyfold.core.float_formats import Floats, Keys, sortable_keys
from sixtyfold.stages.restore.rules import RULES, RuleName
from sixtyfold.stages.restore.rules.rule import Spot

_ABOVE_ALL = 0xFFFFFFFF  # no finite score has this key


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
        score = RULES[self.rule]
        for chunk in tensor.chunks():
            update = chunk.update
            _refuse_non_finite(tensor.name, update)
            spot = Spot(self.seed, tensor.name, chunk.start)
            yield chunk, sortable_keys(score(chunk.base, update, spot))


class Cut(NamedTuple):
    """The first weights of a ranking."""

    number: int
    """How many weights are before the cut."""
    key: int
    """Every weight with a larger key is before the cut."""
    ties: dict[str, int]
    """Per tensor: how many of its weights with exactly this key are before it, in flat order."""


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
    for tensor in ranking.tensors:
        for chunk, keys in ranking.keys(tensor):
            upper.add(upper_half(keys), chunk.update if by_squares else None)
    firsts = [_find(upper, aim) for aim in aims]
    lower = {first.bucket: _Level.empty() for first in firsts if first is not None}
    for tensor in ranking.tensors if lower else ():
        for chunk, keys in ranking.keys(tensor):
            _add_lower(lower, keys, chunk.update if by_squares else None)
    found = [_exact(first, lower) for first in firsts]
    return _share_ties(ranking, found)


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


def _add_lower(lower: dict[int, _Level], keys: Keys, update: Floats | None) -> None:
    """Add the lower halves of the keys that fall in one of the wanted buckets."""
    halves = keys.view("<u2")[1::2]
    for bucket, level in lower.items():
        chosen = np.flatnonzero(halves == bucket)
        if chosen.size:
            inside = (keys[chosen] & np.uint32(0xFFFF)).astype(np.intp)
            level.add(inside, None if update is None else update[chosen])


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
    """Deal the ties of every cut out to the tensors in name order."""
    partly = sorted({tied.key for tied in found if 0 < tied.taken < tied.ties})
    holders: dict[int, dict[str, int]] = {key: {} for key in partly}
    for tensor in ranking.tensors if partly else ():
        for _, keys in ranking.keys(tensor):
            for key in partly:
                number = int(np.count_nonzero(keys == np.uint32(key)))
                holders[key][tensor.name] = holders[key].get(tensor.name, 0) + number
    cuts = []
    for tied in found:
        if tied.taken == tied.ties:  # all of them: cut just below the key instead
            cuts.append(Cut(tied.number, tied.key - 1 if tied.ties else tied.key, {}))
        else:
            cuts.append(Cut(tied.number, tied.key, _deal(holders.get(tied.key, {}), tied.taken)))
    return cuts


def _deal(holders: dict[str, int], taken: int) -> dict[str, int]:
    """Give the first `taken` ties to the tensors in order.

    >>> _deal({"a": 2, "b": 5, "c": 1}, 4)
    {'a': 2, 'b': 2}
    """
    dealt = {}
    for name, number in holders.items():
        share = min(number, taken)
        if share:
            dealt[name] = share
        taken -= share
    return dealt


def _refuse_non_finite(name: str, update: Floats) -> None:
    with np.errstate(all="ignore"):
        total = np.add.reduce(update)  # finite unless a weight is not, or the sum overflows
    if not np.isfinite(total) and not np.isfinite(update).all():
        raise Corrupted(
            f"tensor '{name}' holds NaN or infinite weights in one of the models; "
            "a checkpoint that training broke cannot be repaired weight by weight"
        )
