"""What to write for every weight of a region: base, tuned, or something between.

A plan is small (a threshold or a factor) and gives the weights of one tensor at a time, each time
the same ones, in whatever order the tensors are asked for. Plans that need more than a ranking or
one factor live with their methods in `alternatives/`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from sixtyfold.core.checkpoint_pair import CHUNK, Chunk, PairedTensor
from sixtyfold.core.float_formats import Array, Floats, Keys, convert, sum_of_squares, to_float32
from sixtyfold.core.tensor_names import Region
from sixtyfold.stages.restore.threshold import Cut, Mask, Ranking, refuse_non_finite


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


class Plan(Protocol):
    """What becomes of every weight of a region."""

    @property
    def region(self) -> Region:
        """The weights the plan is about."""
        ...

    @property
    def setting(self) -> str:
        """How strong it is, in the method's own terms, for people."""
        ...

    def chunks(self, tensor: PairedTensor) -> Iterator[Repaired]:
        """Go through the repaired weights of a tensor of the region."""
        ...


class MaskedPlan(Plan, Protocol):
    """A plan that puts some weights back and leaves the others tuned, by a ranking."""

    def ranking_of(self, tensor: PairedTensor) -> Ranking:
        """Return the ranking that a tensor of the region is part of."""
        ...

    def dropped(self, keys: Keys, tensor: str, start: int) -> Mask:
        """Return which weights of a run go back to the base.

        Args:
            keys: the run's keys in the ranking, shape (n,).
            tensor: name of the tensor it is of.
            start: flat index of its first weight.
        """
        ...


class RankedPlan(NamedTuple):
    """Put the first weights of a ranking back to the base, leave the others tuned, bit for bit."""

    region: Region
    ranking: Ranking
    cut: Cut

    @property
    def setting(self) -> str:
        """Share of the weights that is put back."""
        return f"{100 * self.cut.number / self.ranking.numel:.3g}% put back"

    def ranking_of(self, tensor: PairedTensor) -> Ranking:  # noqa: ARG002
        """Return the one ranking."""
        return self.ranking

    def dropped(self, keys: Keys, tensor: str, start: int) -> Mask:
        """Return which weights of a run go back; see `MaskedPlan`."""
        return self.cut.before(keys, tensor, start)

    def chunks(self, tensor: PairedTensor) -> Iterator[Repaired]:
        """Go through the repaired weights of a tensor of the region."""
        return masked(self, tensor)


class InterpolatedPlan(NamedTuple):
    """Keep the share `alpha` of every update: base + alpha · (tuned − base) (WiSE-FT).

    Source: arXiv 2109.01903. Computed in float32; 0 and 1 give base and tuned bit for bit.
    """

    region: Region
    alpha: float

    @property
    def setting(self) -> str:
        """The factor."""
        return f"α = {self.alpha:.3g}"

    def chunks(self, tensor: PairedTensor) -> Iterator[Repaired]:
        """Go through the repaired weights of a tensor of the region."""
        return scaled(tensor, self.alpha)


def masked(plan: MaskedPlan, tensor: PairedTensor) -> Iterator[Repaired]:
    """Go through the weights of a tensor, each the base's or the tuned model's bit for bit."""
    for chunk, keys in plan.ranking_of(tensor).keys(tensor):
        mask = plan.dropped(keys, tensor.name, chunk.start)
        yield put_back(chunk, mask, tensor.tuned.dtype)


def masked_squares(plans: Sequence[MaskedPlan], tensor: PairedTensor) -> list[float]:
    """Return Σ (value − base)² of one tensor after each of some plans with the same rankings."""
    sums: list[list[float]] = [[] for _ in plans]
    for chunk, keys in plans[0].ranking_of(tensor).keys(tensor):
        squares = np.square(chunk.update, dtype=np.float64)
        for plan, parts in zip(plans, sums, strict=True):
            kept = ~plan.dropped(keys, tensor.name, chunk.start)
            parts.append(float(squares.sum(where=kept)))
    return [math.fsum(parts) for parts in sums]


def scaled(tensor: PairedTensor, factor: float) -> Iterator[Repaired]:
    """Go through base + factor · update, float32; 0 and 1 give base and tuned bit for bit.

    Raises:
        Corrupted: a weight is not a finite number.
    """
    for chunk in tensor.chunks():
        update = chunk.update
        refuse_non_finite(tensor.name, update)
        if factor in {0.0, 1.0}:
            yield one_side(chunk, restored=factor == 0.0)
        else:
            values = chunk.base + np.float32(factor) * update
            yield between(chunk, values, tensor.tuned.dtype)


def put_back(chunk: Chunk, mask: Mask, dtype: str) -> Repaired:
    """Return a run with the weights of a mask put back and the others tuned, bit for bit.

    Args:
        chunk: the run.
        mask: shape (n,), true where the base value is wanted.
        dtype: the tuned model's number format.
    """
    raw = chunk.tuned_raw.copy()
    np.copyto(raw, chunk.base_raw, where=mask)
    moved = int(np.count_nonzero((chunk.base != chunk.tuned) & mask))
    return Repaired(chunk, raw, to_float32(raw, dtype), int(np.count_nonzero(mask)), moved)


def between(chunk: Chunk, values: Floats, dtype: str, dropped: Mask | None = None) -> Repaired:
    """Return a run of new values, rounded to the tuned model's number format where stored.

    Args:
        chunk: the run.
        values: shape (n,).
        dtype: the tuned model's number format.
        dropped: shape (n,), true where `values` are the base's; nowhere without it.
    """
    raw = convert(values, "F32", dtype)
    if dropped is None:
        return Repaired(chunk, raw, values, 0, 0)
    moved = int(np.count_nonzero((chunk.base != chunk.tuned) & dropped))
    return Repaired(chunk, raw, values, int(np.count_nonzero(dropped)), moved)


def one_side(chunk: Chunk, *, restored: bool) -> Repaired:
    """Return a run that is all base or all tuned."""
    if not restored:
        return Repaired(chunk, chunk.tuned_raw, chunk.tuned, 0, 0)
    moved = int(np.count_nonzero(chunk.base != chunk.tuned))
    return Repaired(chunk, chunk.base_raw, chunk.base, chunk.base.size, moved)


def squares_left(plan: Plan, tensor: PairedTensor) -> float:
    """Return Σ (value − base)² of one tensor after a plan, before rounding, float64."""
    return math.fsum(
        sum_of_squares(repaired.values - repaired.chunk.base) for repaired in plan.chunks(tensor)
    )


def stored_squares(repaired: Repaired, dtype: str) -> float:
    """Return Σ (weight − base)² of a run as the tuned model's number format holds it, float64."""
    return sum_of_squares(to_float32(repaired.raw, dtype) - repaired.chunk.base)


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
