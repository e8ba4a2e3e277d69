"""Histograms over the bits of float32 values: exact counts of a whole model without sorting it.

The bits of a non-negative float order like its value, so half of them name a bucket less than one
percent wide and the other half the exact value inside it. Knows numbers only.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sixtyfold.core.float_formats import Floats, Keys

BUCKETS = 1 << 16
Buckets = npt.NDArray[np.integer]
Counts = npt.NDArray[np.int64]
Masses = npt.NDArray[np.float64]


def upper_half(keys: Keys) -> Buckets:
    """Return the upper 16 bits of 32-bit keys as bucket numbers, a view where it can be.

    >>> upper_half(np.array([0x00030001, 0xFFFF0000], np.uint32)).tolist()
    [3, 65535]
    """
    return np.ascontiguousarray(keys).view("<u2")[1::2]


def lower_half(keys: Keys) -> Buckets:
    """Return the lower 16 bits of 32-bit keys as bucket numbers, a view where it can be."""
    return np.ascontiguousarray(keys).view("<u2")[::2]


def count_buckets(buckets: Buckets, size: int = BUCKETS) -> Counts:
    """Return how many values fall in each of `size` buckets.

    >>> count_buckets(np.array([1, 3, 3]))[:5].tolist()
    [0, 1, 0, 2, 0]
    """
    return np.bincount(buckets, minlength=size).astype(np.int64, copy=False)


def sum_buckets(buckets: Buckets, values: Floats | Masses, size: int = BUCKETS) -> Masses:
    """Return the float64 sum of `values` in each of `size` buckets."""
    sums: Masses = np.bincount(buckets, weights=values, minlength=size).astype(np.float64)
    return sums
