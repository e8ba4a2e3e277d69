"""How the values of one quantity are spread, kept as counts and sums in narrow buckets.

A bucket is the upper 16 bits of a non-negative float32: less than one percent wide, so the share
that the largest values hold is known to within about 0.001 of a point, whatever the model's size.
"""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np

from sixtyfold.core.bit_histogram import BUCKETS, Masses, count_buckets, sum_buckets, upper_half
from sixtyfold.core.float_formats import Floats

#: Non-negative floats use only the lower half of the buckets.
NON_NEGATIVE = BUCKETS // 2


class Profile(NamedTuple):
    """Numbers and sums of non-negative values by bucket, float64, shape (`NON_NEGATIVE`,)."""

    numbers: Masses
    masses: Masses

    @classmethod
    def empty(cls) -> Self:
        """Return the profile of no values."""
        return cls(np.zeros(NON_NEGATIVE), np.zeros(NON_NEGATIVE))

    @classmethod
    def of(cls, values: Floats, weights: Masses | None = None) -> Self:
        """Return the profile of values ≥ 0, each counted `weights` times (once without)."""
        buckets = upper_half(values.view(np.uint32))
        if weights is None:
            numbers = count_buckets(buckets, NON_NEGATIVE).astype(np.float64)
            return cls(numbers, sum_buckets(buckets, values, NON_NEGATIVE))
        masses = sum_buckets(buckets, weights * values, NON_NEGATIVE)
        return cls(sum_buckets(buckets, weights, NON_NEGATIVE), masses)

    def plus(self, other: Self) -> Self:
        """Return the profile of both together."""
        return type(self)(self.numbers + other.numbers, self.masses + other.masses)

    def add(self, other: Self) -> None:
        """Take up another profile in place."""
        self.numbers[:] += other.numbers
        self.masses[:] += other.masses

    def copy(self) -> Self:
        """Return the same profile in arrays of its own."""
        return type(self)(self.numbers.copy(), self.masses.copy())

    def minus(self, part: Self) -> Self:
        """Return the profile without a part of its values."""
        numbers = self.numbers - part.numbers
        masses = np.where(numbers > 0, np.maximum(self.masses - part.masses, 0.0), 0.0)
        return type(self)(numbers, masses)

    def share_of_top(self, percent: float) -> float | None:
        """Return the share of the sum that the largest `percent` % of the values hold.

        Returns:
            0..1, or None where the sum is 0.

        >>> Profile.of(np.array([1, 1, 2, 4], np.float32)).share_of_top(25)
        0.5
        """
        total = float(self.masses.sum())
        if total == 0.0:
            return None
        return self.sum_of_top(np.rint(percent / 100.0 * self.numbers.sum())) / total

    def sum_of_top(self, number: float) -> float:
        """Return the sum of the `number` largest values; a bucket is split at its mean."""
        bucket, inside = self.boundary_of(number)
        mean = self.masses[bucket] / self.numbers[bucket] if inside else 0.0
        return float(self.masses[bucket + 1 :].sum() + inside * mean)

    def boundary(self, percent: float) -> tuple[int, float]:
        """Return the bucket in which the top `percent` % end and how many of it belong to them."""
        return self.boundary_of(np.rint(percent / 100.0 * self.numbers.sum()))

    def boundary_of(self, number: float) -> tuple[int, float]:
        """Return the bucket in which the top `number` end and how many of it belong to them."""
        if number <= 0:
            return NON_NEGATIVE - 1, 0.0
        reached = np.cumsum(self.numbers[::-1])
        wanted = min(number, reached[-1])
        position = int(np.searchsorted(reached, wanted, side="left"))
        bucket = NON_NEGATIVE - 1 - position
        return bucket, float(wanted - (reached[position] - self.numbers[bucket]))
