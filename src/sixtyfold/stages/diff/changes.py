"""One pass over one tensor: its row of `weight_changes` and its profiles.

Base and tuned are compared in the tuned model's dtype (see `core/checkpoint_pair.py`), values in
float32, sums in float64.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import polars as pl

from sixtyfold.core.checkpoint_pair import Chunk, PairedTensor
from sixtyfold.core.errors import Corrupted
from sixtyfold.core.float_formats import Floats, sum_of_squares
from sixtyfold.stages.diff.nulls import (
    NEAR_ZERO,
    gaussian_profiles,
    relative_change,
    shuffled_update,
)
from sixtyfold.stages.diff.papers_rounding import (
    rounded_gaussian,
    rounded_relative,
    rounded_update,
)
from sixtyfold.stages.diff.profile import Profile

CHANGES_SCHEMA = pl.Schema(
    {
        "tensor": pl.String(),
        "layer": pl.Int32(),
        "block": pl.String(),
        "in_region": pl.Boolean(),
        "numel": pl.Int64(),
        "changed": pl.Int64(),
        "sum_abs": pl.Float64(),
        "sum_squared": pl.Float64(),
        "sum_relative": pl.Float64(),
        "sum_base_squared": pl.Float64(),
        "near_zero": pl.Int64(),
        "sum_relative_near_zero": pl.Float64(),
        "inexact": pl.Int64(),
        "added_rows": pl.Int64(),
        "dtype_base": pl.String(),
        "dtype_tuned": pl.String(),
    }
)

#: What is ranked and summed: r; r without the weights whose base is zero or nearly so; |Δ|.
MEASURES = ("relative", "nonzero-base relative", "absolute")
#: The relative change with every step in bfloat16, as the paper's printed figures.
BF16_MEASURE = "bf16 relative"
#: The update itself, and what it is compared with.
KINDS = ("update", "permutation", "gaussian")


_SUMS = (
    *("sum_abs", "sum_squared", "sum_relative", "sum_base_squared"),
    "sum_relative_near_zero",
)


class TensorChanges(NamedTuple):
    """What one pass over a tensor finds."""

    row: dict[str, Any]
    profiles: dict[tuple[str, str], Profile]
    """By measure and kind; empty outside the region."""


def tensor_changes(
    tensor: PairedTensor, seed: int, *, in_region: bool, bf16: bool = False
) -> TensorChanges:
    """Measure one tensor.

    Args:
        tensor: the tensor.
        seed: of the permutation null.
        in_region: whether profiles are wanted too.
        bf16: whether they are wanted in the paper's rounding too.

    Raises:
        Corrupted: a weight is not a finite number.
    """
    sums = dict.fromkeys(_SUMS, 0.0)
    numbers = dict.fromkeys(("changed", "near_zero", "inexact"), 0)
    profiles: dict[tuple[str, str], Profile] = {}
    for chunk in tensor.chunks():
        update = chunk.update
        relative = relative_change(chunk.base, update)
        _add_sums(sums, numbers, chunk, update, relative)
        if in_region:
            shuffled = shuffled_update(tensor, chunk.start, update, seed)
            _add(profiles, "update", chunk.base, relative)
            _add(profiles, "permutation", chunk.base, relative_change(chunk.base, shuffled))
            _merge(profiles, ("absolute", "update"), Profile.of(np.abs(update)))
        if in_region and bf16:
            _add_bf16(profiles, tensor, chunk, seed)
    if not np.isfinite([*sums.values()]).all():
        raise Corrupted(
            f"tensor '{tensor.name}' holds NaN or infinite weights in one of the models"
        )
    if in_region:
        _add_gaussian(profiles, tensor.numel, sums, bf16=bf16)
    row = {
        "tensor": tensor.name,
        "layer": tensor.place.layer,
        "block": tensor.place.block,
        "in_region": in_region,
        "numel": tensor.numel,
        **sums,
        **numbers,
        "added_rows": tensor.added_rows,
        "dtype_base": tensor.base.dtype if tensor.base else None,
        "dtype_tuned": tensor.tuned.dtype,
    }
    return TensorChanges(row, profiles)


def _add_sums(
    sums: dict[str, float],
    numbers: dict[str, int],
    chunk: Chunk,
    update: Floats,
    relative: Floats,
) -> None:
    sums["sum_abs"] += float(np.abs(update).sum(dtype=np.float64))
    sums["sum_squared"] += sum_of_squares(update)
    sums["sum_base_squared"] += sum_of_squares(chunk.base)
    sums["sum_relative"] += float(relative.sum(dtype=np.float64))
    numbers["changed"] += int(np.count_nonzero(update))
    near = np.abs(chunk.base) < NEAR_ZERO
    numbers["near_zero"] += int(np.count_nonzero(near))
    sums["sum_relative_near_zero"] += float(relative[near].sum(dtype=np.float64))
    numbers["inexact"] += chunk.inexact


def _add(
    profiles: dict[tuple[str, str], Profile], kind: str, base: Floats, relative: Floats
) -> None:
    """Add relative changes, with and without the weights whose base is nearly zero."""
    whole = Profile.of(relative)
    near = Profile.of(relative[np.abs(base) < NEAR_ZERO])
    _merge(profiles, ("relative", kind), whole)
    _merge(profiles, ("nonzero-base relative", kind), whole.minus(near))


def _merge(profiles: dict[tuple[str, str], Profile], key: tuple[str, str], more: Profile) -> None:
    if key in profiles:
        profiles[key].add(more)
    else:
        profiles[key] = more


def _add_bf16(
    profiles: dict[tuple[str, str], Profile], tensor: PairedTensor, chunk: Chunk, seed: int
) -> None:
    """Add relative changes in the paper's rounding."""
    own = rounded_update(chunk)
    shuffled = shuffled_update(tensor, chunk.start, own, seed, rounded_update)
    for kind, update in (("update", own), ("permutation", shuffled)):
        relative = rounded_relative(chunk.base, update)
        _merge(profiles, (BF16_MEASURE, kind), Profile.of(relative))


def _add_gaussian(
    profiles: dict[tuple[str, str], Profile], numel: int, sums: dict[str, float], *, bf16: bool
) -> None:
    """Add the null of normal weights; an absolute change is its own permutation."""
    base_rms = (sums["sum_base_squared"] / numel) ** 0.5
    update_rms = (sums["sum_squared"] / numel) ** 0.5
    expected = gaussian_profiles(numel, base_rms, update_rms)
    for measure, profile in zip(MEASURES, expected, strict=True):
        profiles[measure, "gaussian"] = profile
    profiles["absolute", "permutation"] = profiles["absolute", "update"]
    if bf16:
        profiles[BF16_MEASURE, "gaussian"] = rounded_gaussian(numel, base_rms, update_rms)
