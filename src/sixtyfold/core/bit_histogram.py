"""Histograms over the bits of float32 values: exact counts of a whole model without sorting it.

The bits of a non-negative float order like its value, so half of them name a bucket less than one
percent wide and the other half the exact value inside it. Knows numbers only.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sixtyfold.core.float_formats import Floats, Keys

BUCKETS = 1 << 16
Counts = npt.NDArray[np.int64]
Masses = npt.NDArray[np.float64]


def upper_half(keys: Keys) -> npt.NDArray[np.uint16]:
    """Return the upper 16 bits of 32-bit keys, without a copy."""
    return np.ascontiguousarray(keys).view("<u2")[1::2]


def count_buckets(halves: npt.NDArray[np.uint16]) -> Counts:
    """Return how many values fall in each of the `BUCKETS` buckets.

    >>> count_buckets(np.array([1, 3, 3], np.uint16))[:5].tolist()
    [0, 1, 0, 2, 0]
    """
    return np.bincount(halves, minlength=BUCKETS).astype(np.int64, copy=False)


def sum_buckets(halves: npt.NDArray[np.uint16], values: Floats | Masses) -> Masses:
    """Return the float64 sum of `values` in each bucket."""
    return np.bincount(halves, weights=values, minlength=BUCKETS)


def above(buckets: npt.NDArray[np.number]) -> npt.NDArray[np.number]:
    """Return for each bucket the sum over all higher ones.

    >>> above(np.array([1, 2, 4])).tolist()
    [6, 4, 0]
    """
    total: npt.NDArray[np.number] = np.cumsum(buckets[::-1])[::-1] - buckets
    return total
