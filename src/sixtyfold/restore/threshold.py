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
    Counts,
    Masses,
    above,
    count_buckets,
    sum_buckets,
    upper_half,
)
from sixtyfold.core.checkpoint_pair import Chunk, PairedTensor
from sixtyfold.core.errors import Corrupted
from sixtyfold.core.float_formats import Keys, sortable_keys
from sixtyfold.restore.rules import RULES, RuleName
from sixtyfold.restore.rules.rule import Spot

_LARGEST_FINITE = 0xFF7FFFFF  # key of the largest float32; infinities and NaN lie above
_SMALLEST_FINITE = 0x00800000


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
            if not np.isfinite(update.sum(dtype=np.float64)):
                raise Corrupted(
                    f"tensor '{tensor.name}' holds NaN or infinite weights in one of the models; "
                    "a checkpoint that training broke cannot be repaired weight by weight"
                )
            spot = Spot(self.seed, tensor.name, chunk.start)
            yield chunk, sortable_keys(score(chunk.base, update, spot))


class Cut(NamedTuple):
    """The first weights of a ranking."""

    count: int
    """How many weights are before the cut."""
    key: int
    """Every weight with a larger key is before the cut."""
    ties: dict[str, int]
    """Per tensor: how many of its weights with exactly this key are before it, in flat order."""


class _Level(NamedTuple):
    """Counts and removed squared update in the buckets of one histogram."""

    counts: Counts
    squares: Masses

    @classmethod
    def empty(cls) -> _Level:
        return cls(np.zeros(BUCKETS, np.int64), np.zeros(BUCKETS))

    def add(self, halves: Keys, chunk: Chunk, chosen: slice | np.ndarray, squares: bool) -> None:
        self.counts[:] += count_buckets(halves)
        if squares:
            self.squares[:] += sum_buckets(halves, chunk.update[chosen].astype(np.float64) ** 2)
