"""What to write for every weight of a region: base, tuned, or something between.

A plan is small (a threshold or a factor) and gives the weights of one tensor at a time, each time
the same ones, in whatever order the tensors are asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sixtyfold.core.checkpoint_pair import CHUNK, Chunk, PairedTensor
from sixtyfold.core.float_formats import Array, Floats, Keys, convert, sum_of_squares, to_float32
from sixtyfold.core.tensor_names import Region
from sixtyfold.stages.restore.threshold import Cut, Ranking


class Repaired(NamedTuple):
    """A run of weights after a plan."""

    chunk: Chunk
    raw: Array
    """The weights in the tuned dtype, as a checkpoint stores them."""
    values: Floats
    """The weights in float32, before any rounding to the tuned dtype."""
    restored: int
    """Weights put back to the base."""
    moved: int
    """Those of them whose tuned value differed."""


class RankedPlan(NamedTuple):
    """Put the first weights of a ranking back to the base, leave the others tuned, bit for bit."""

    region: Region
    ranking: Ranking
    cut: Cut

    def chunks(self, tensor: PairedTensor) -> Iterator[Repaired]:
        """Go through the repaired weights of a tensor of the region."""
        ties = self.cut.ties.get(tensor.name, 0)
        whole = self.cut.number in {0, self.ranking.numel}
        for chunk, keys in self.ranking.keys(tensor):
            if whole:
                yield _one_side(chunk, restored=self.cut.number > 0)
                continue
            mask, ties = _before(keys, self.cut.key, ties)
            raw = chunk.tuned_raw.copy()
            np.copyto(raw, chunk.base_raw, where=mask)
            values = to_float32(raw, tensor.tuned.dtype)
            moved = int(np.count_nonzero((chunk.base != chunk.tuned) & mask))
            yield Repaired(chunk, raw, values, int(np.count_nonzero(mask)), moved)


class InterpolatedPlan(NamedTuple):
    """Keep the share `alpha` of every update: base + alpha · (tuned − base) (WiSE-FT).

    Source: arXiv 2109.01903. Computed in float32; 0 and 1 give base and tuned bit for bit.
    """

    region: Region
    alpha: float

    def chunks(self, tensor: PairedTensor) -> Iterator[Repaired]:
        """Go through the repaired weights of a tensor of the region."""
        for chunk in tensor.chunks():
            if self.alpha in {0.0, 1.0}:
                yield _one_side(chunk, restored=self.alpha == 0.0)
                continue
            values = chunk.base + np.float32(self.alpha) * chunk.update
            raw = convert(values, "F32", tensor.tuned.dtype)
            yield Repaired(chunk, raw, values, 0, 0)


Plan = RankedPlan | InterpolatedPlan


def remaining_squares(repaired: Repaired) -> float:
    """Return Σ (value − base)² of a run of repaired weights, float64."""
    return sum_of_squares(repaired.values - repaired.chunk.base)


def whole_tensor(plan: Plan, tensor: PairedTensor) -> Floats:
    """Return a repaired tensor of the region in float32, rows added by tuning included.

    Returns:
        array of the tuned model's shape.
    """
    flat = np.empty(tensor.tuned.numel, np.float32)
    for repaired in plan.chunks(tensor):
        start = repaired.chunk.start
        flat[start : start + repaired.values.size] = repaired.values
    for start in range(tensor.numel, tensor.tuned.numel, CHUNK):
        stop = min(start + CHUNK, tensor.tuned.numel)
        flat[start:stop] = to_float32(tensor.tuned.raw(start, stop), tensor.tuned.dtype)
        tensor.tuned.release(start, stop)
    return flat.reshape(tensor.tuned.shape)


def _before(keys: Keys, key: int, ties: int) -> tuple[npt.NDArray[np.bool_], int]:
    """Return which weights are before a cut and how many ties are left for the next run."""
    mask = keys > np.uint32(key)
    if ties:
        tied = np.flatnonzero(keys == np.uint32(key))[:ties]
        mask[tied] = True
        ties -= tied.size
    return mask, ties


def _one_side(chunk: Chunk, *, restored: bool) -> Repaired:
    """Return a run that is all base or all tuned."""
    if not restored:
        return Repaired(chunk, chunk.tuned_raw, chunk.tuned, 0, 0)
    moved = int(np.count_nonzero(chunk.base != chunk.tuned))
    return Repaired(chunk, chunk.base_raw, chunk.base, chunk.base.size, moved)
