"""How the figures that arXiv 2509.16596 prints were rounded.

The paper's released code holds both models, every step of the relative change and both sums in
bfloat16. A bfloat16 is the upper half of a float32, so a `Profile` of such values is exact: one
bucket is one value. Everything else in this package is computed in float32 and summed in float64.
"""

from __future__ import annotations

import numpy as np

from sixtyfold.core.checkpoint_pair import Chunk
from sixtyfold.core.float_formats import Floats, convert, to_float32
from sixtyfold.stages.diff.nulls import EPSILON, NormalGrid
from sixtyfold.stages.diff.profile import Profile


def rounded(values: Floats) -> Floats:
    """Return float32 values rounded to bfloat16, nearest even.

    >>> rounded(np.float32([1.0, 1.003, 1.005])).tolist()
    [1.0, 1.0, 1.0078125]
    """
    return to_float32(convert(values, "F32", "BF16"), "BF16")


def rounded_update(chunk: Chunk) -> Floats:
    """Return tuned minus base, both models and the difference in bfloat16."""
    return rounded(rounded(chunk.tuned) - rounded(chunk.base))


def rounded_relative(base: Floats, update: Floats) -> Floats:
    """Return |update| / (|base| + 1e-8), rounded to bfloat16 after each step.

    Args:
        base: float32; rounded here.
        update: what `rounded_update` returns, or a permutation of it.
    """
    divisor: Floats = np.add(np.abs(rounded(base)), EPSILON)
    return rounded(np.divide(np.abs(update), rounded(divisor), dtype=np.float32))


def rounded_gaussian(numel: int, base_rms: float, update_rms: float) -> Profile:
    """Return the expected profile of normal weights and updates that are kept in bfloat16.

    An update of less than half a step of its weight is lost, as in a checkpoint.

    Args:
        numel: weights of the tensor.
        base_rms: root mean square of its base weights.
        update_rms: root mean square of its updates.
    """
    grid = NormalGrid.of(numel, base_rms, update_rms)
    base = rounded(grid.base.astype(np.float32))[:, None]
    total = Profile.empty()
    for sign in (1, -1):
        tuned = rounded(base + (sign * grid.update).astype(np.float32)[None, :])
        relative = rounded_relative(base, rounded(tuned - base))
        number = np.broadcast_to(grid.number[:, None] / 2, relative.shape)
        total = total.plus(Profile.of(relative.ravel(), number.ravel()))
    return total


def printed_share(profile: Profile, percent: float) -> float | None:
    """Return the share that the top weights hold as the released code comes to it.

    The number of weights is cut off, not rounded; both sums are rounded to bfloat16.

    Args:
        profile: of bfloat16 values.
        percent: 0..100.

    Returns:
        0..1, or None where the sum is 0.
    """
    total = _sum(profile.masses.sum())
    if total == 0.0:
        return None
    number = float(int(profile.numbers.sum() * percent / 100))
    return _sum(profile.sum_of_top(number)) / total


def _sum(value: float) -> float:
    return float(rounded(np.array([value], np.float32))[0])
